//! Load balancers in Octavia, whoever they are for: what Services and what Ingresses and Gateways have in common.

pub(crate) mod children;
pub(crate) mod index;
pub(crate) mod keeper;
pub(crate) mod members;
pub(crate) mod provider;
mod public;
pub(crate) mod repairs;

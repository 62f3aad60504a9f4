//! How OpenStack behaves, as far as we rely on it.
//!
//! One suite for two clouds: the fake one in this process, and with `KURYR_CONTRACT_CLOUD=real` a real one. Where they
//! differ the fake is wrong. The real cloud is described by a `clouds.yaml` named in `OS_CLIENT_CONFIG_FILE` with three
//! users:
//!
//! - `k8s-admin` may bind ports to hosts and set quotas; `OS_CLOUD` names another one;
//! - `k8s` is an ordinary member of the same project;
//! - `k8s-other` is an ordinary member of another project, whose quotas are changed for a moment.
//!
//! `KURYR_CONTRACT_HOST` is a host ports can be bound to (default `h1`).
//!
//! Every case has a network of its own and removes what it made, also when it fails.

// All of this is test code, also what stands outside of #[test] functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod identity;
mod limits;
mod listeners;
mod load_balancers;
mod networks;
mod port_lists;
mod ports;
mod raw;
mod routers;
mod security_groups;
mod tags;
mod trunks;

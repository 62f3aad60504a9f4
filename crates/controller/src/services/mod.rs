//! Services: Service + EndpointSlices → load balancer in Octavia, and back.
//!
//! ```text
//! observed   Service, EndpointSlices (caches), Octavia (index)      what is there
//! desired    nothing, with a reason | a balancer                    what should be             pure
//! plan       the next call, with a reason                           how to get there           pure
//! apply      that call                                              the only one that writes
//! ```

pub(crate) mod desired;
pub(crate) mod facts;
pub(crate) mod plan;

#[cfg(test)]
mod tests;

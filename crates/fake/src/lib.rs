//! An OpenStack ([`openstack::Cloud`]) and a Kubernetes API ([`kubernetes::Cluster`]) in memory, for tests, the simulation and the lab.
//!
//! It shares no type with the clients it answers: a wrong field name in a client must fail here as it would in the field.
//! What it answers is held to the real services by the contract suite.
//!
//! Both are plain request → response functions over `http` types, so the same fake serves in process (paused clock, no
//! sockets) and over TCP.

pub mod faults;
pub mod kubernetes;
pub mod openstack;
pub mod serve;

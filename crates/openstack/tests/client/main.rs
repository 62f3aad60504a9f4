//! The client against scripted answers: what it sends, when it tries again, what it makes of failures.

// All of this is test code, also what stands outside of #[test] functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod authentication;
mod catalog;
mod connections;
mod errors;
mod limits;
mod lists;
mod logs;
mod observed;
mod port_tags;
mod retries;
mod script;
mod together;

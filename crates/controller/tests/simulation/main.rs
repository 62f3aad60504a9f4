//! Lives of pods and Services under faults and kills, by seed, on the paused clock.
//!
//! Every seed is another history: users do what users do, the cloud and the API server fail and lose answers, the controller is
//! killed at whatever it awaits. Then the faults end, and the world must come to rest as it should be.
//!
//! - `KURYR_SIM_SEED=17` replays one seed of each kind of history; name `pods` or `services` for one of them, and add
//!   `--nocapture` to see what happens in it.
//! - `KURYR_SIM_SEEDS=5000` runs so many of each, `KURYR_SIM_SECONDS=600` at most so long.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod history;
mod lies;
mod pods;
mod seeds;
mod services;
#[path = "../world/mod.rs"]
mod world;

//! What all histories begin with, and how what goes wrong in them ends.

use std::time::Duration;

use crate::world::World;

/// A world in which little time is spent on what is not looked at.
pub fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.config.drift_interval = Duration::from_secs(30);
    // Leadership has histories of its own; each renewal costs time here.
    world.lease = Duration::from_secs(60);
    world
}

/// Nothing goes wrong any more: no request, and no watch that was to break with its next event.
pub fn end_faults(world: &World) {
    world.cloud.faults().clear();
    world.cluster.faults().clear();
    world.cluster.cut_watches();
}

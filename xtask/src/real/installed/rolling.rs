//! Kuryr's pods are deleted and replaced while packets flow and pods come.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::super::flow::Flow;
use super::super::pods::all_answer;
use super::super::world::{World, text};
use super::{NAMESPACE, NODES, TAGS, components, with_kuryr};

const CHECK: &str = "rolled";
/// What is rolled, and the container of it.
const WORKLOADS: [(&str, &str); 2] =
    [("deployment/kuryr-controller", "controller"), ("daemonset/kuryr-cni", "kuryr-cni")];

/// The daemons' pods deleted, the controllers' pods deleted, both rolled to another tag: no ping lost, no ADD failed.
pub(in super::super) fn rolled(world: &World) -> Result<String> {
    with_kuryr(world, || {
        let flow = Flow::start(world, CHECK)?;
        let (stop, born) = (AtomicBool::new(false), AtomicUsize::new(0));
        let told = thread::scope(|scope| {
            let load = scope.spawn(|| births(world, &stop, &born));
            let told = replaced(world, &born);
            stop.store(true, Ordering::Relaxed);
            load.join().map_err(|_| anyhow::anyhow!("the thread that makes pods panicked"))??;
            told
        });
        let (pods, line) = flow.end()?;
        let told = told?;
        ensure!(line.contains(" 0% packet loss"), "{line}");
        no_add_failed(world)?;
        all_answer(&pods)?;
        world.delete(CHECK)?;
        Ok(format!("{told}; {} pods came meanwhile; {line}", born.into_inner()))
    })
}

/// Every pod of ours replaced, by deletion and by another tag; with a birth after each.
fn replaced(world: &World, born: &AtomicUsize) -> Result<String> {
    let begun = Instant::now();
    for component in ["node", "controller"] {
        for pod in components(world, component)? {
            world.kubectl(&["delete", "pod", "-n", NAMESPACE, &pod.name, "--wait"])?;
        }
        rolled_out(world)?;
        another_birth(born)?;
    }
    let deleted = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for (workload, container) in WORKLOADS {
        world.kubectl(&["set", "image", "-n", NAMESPACE, workload, &format!("{container}={}", TAGS[1])])?;
    }
    rolled_out(world)?;
    another_birth(born)?;
    let images = world.kubectl(&[
        "get",
        "pods",
        "-n",
        NAMESPACE,
        "-l",
        super::LABEL,
        "-o",
        "jsonpath={.items[*].spec.containers[0].image}",
    ])?;
    ensure!(images.split_whitespace().all(|image| image == TAGS[1]), "images after the roll: {images}");
    Ok(format!("all deleted in {deleted:.0} s, rolled in {:.0} s", begun.elapsed().as_secs_f64()))
}

fn rolled_out(world: &World) -> Result<()> {
    for (workload, _) in WORKLOADS {
        world.kubectl(&["rollout", "status", "-n", NAMESPACE, workload, "--timeout=120s"])?;
    }
    Ok(())
}

fn another_birth(born: &AtomicUsize) -> Result<()> {
    let before = born.load(Ordering::Relaxed);
    super::eventually("another pod comes up", Duration::from_secs(90), || {
        Ok((born.load(Ordering::Relaxed) > before).then_some(()))
    })
}

/// Makes pods, one after the other on each node, until told to stop.
fn births(world: &World, stop: &AtomicBool, born: &AtomicUsize) -> Result<()> {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let name = format!("rolled-{number}");
        world.create(&World::pod(CHECK, &name, Some(NODES[number % NODES.len()])))?;
        world.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=120s"])?;
        world.kubectl(&["delete", "pod", &name, "--wait"])?;
        number += 1;
        born.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// kubelet says so with an Event when an ADD fails.
fn no_add_failed(world: &World) -> Result<()> {
    let events = world.get(&["events", "--field-selector", "reason=FailedCreatePodSandBox"])?;
    let events = events["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_ours = events.iter().find(|event| text(&event["involvedObject"]["name"]).starts_with("rolled-"));
    match of_ours {
        Some(event) => bail!("an ADD failed: {}", text(&event["message"])),
        None => Ok(()),
    }
}

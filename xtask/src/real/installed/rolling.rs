//! Kuryr's pods are deleted and replaced while packets flow and pods come.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::super::pods::all_answer;
use super::super::world::{World, succeeded, text};
use super::{NAMESPACE, NODES, TAGS, components, with_kuryr};

const CHECK: &str = "rolled";

/// The daemons' pods deleted, the controllers' pods deleted, both rolled to another tag: no ping lost, no ADD failed.
pub(in super::super) fn rolled(world: &World) -> Result<String> {
    with_kuryr(world, || {
        for (name, node) in [("rolled-a", NODES[0]), ("rolled-b", NODES[1])] {
            world.create(&World::pod(CHECK, name, Some(node)))?;
        }
        let pods = world.ready_pods(CHECK, 2, Duration::from_secs(60))?;
        let [a, b] = pods.as_slice() else { bail!("two pods expected") };
        world.in_pod(&a.name, &["ping", "-c", "2", "-W", "2", &b.address])?;
        // A packet every 50 ms until a line comes in; then ping tells what was lost.
        let script = format!("ping -i 0.05 -W 1 {} & p=$!; read _; kill -INT $p; wait $p", b.address);
        let mut flow = world
            .kubectl_command(&["exec", "-i", &a.name, "--", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stop, born) = (AtomicBool::new(false), AtomicUsize::new(0));
        let told = thread::scope(|scope| {
            let load = scope.spawn(|| births(world, &stop, &born));
            let told = replaced(world, &born);
            stop.store(true, Ordering::Relaxed);
            load.join().map_err(|_| anyhow::anyhow!("the thread that makes pods panicked"))??;
            told
        });
        flow.stdin.take().context("no stdin")?.write_all(b"\n")?;
        let said = succeeded(flow.wait_with_output()?, "ping between the pods")?;
        let told = told?;
        let line =
            said.lines().find(|l| l.contains("packet loss")).with_context(|| format!("no summary in {said:?}"))?;
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
    for (workload, container) in [("deployment/kuryr-controller", "controller"), ("daemonset/kuryr-cni", "kuryr-cni")] {
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
    for workload in ["deployment/kuryr-controller", "daemonset/kuryr-cni"] {
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

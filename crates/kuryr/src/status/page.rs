//! The status on one screen. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::report::{Status, Workload};
use crate::screen::{Screen, Tone, ago};

/// Width of the first column.
const NAMES: usize = 12;

/// The screen.
pub(crate) fn page(status: &Status, screen: Screen, now: Timestamp) -> String {
    let mut page = String::new();
    let row = |page: &mut String, name: &str, text: &str| screen.wrap(page, NAMES, &format!("{name:<NAMES$}"), text);
    let waiting: usize = status.pods.waiting.iter().map(|group| group.count).sum();
    let verdict = match (status.well, status.problems.len()) {
        (true, _) => screen.paint(Tone::Good, "well"),
        (false, 0) => screen.paint(Tone::Bad, "pods wait"),
        (false, 1) => screen.paint(Tone::Bad, "one problem"),
        (false, count) => screen.paint(Tone::Bad, &format!("{count} problems")),
    };
    row(&mut page, "Kuryr", &verdict);
    row(&mut page, "Controller", &workload(&status.controller, screen));
    if let Some(leader) = &status.leader {
        let since = leader.since.map(|since| format!(" for {}", ago(since, now))).unwrap_or_default();
        let text = if leader.expired { screen.paint(Tone::Bad, "nobody") } else { format!("{}{since}", leader.holder) };
        row(&mut page, "Leader", &text);
    }
    row(&mut page, "Daemon", &workload(&status.daemon, screen));
    let mut pods = format!("{} connected, {} starting, ", status.pods.connected, status.pods.starting);
    let tone = if waiting == 0 { Tone::Good } else { Tone::Bad };
    pods.push_str(&screen.paint(tone, &format!("{waiting} waiting")));
    if status.pods.others > 0 {
        let _ = write!(pods, "; {} with a network that is not Kuryr's", status.pods.others);
    }
    row(&mut page, "Pods", &pods);
    if let Some(cloud) = &status.cloud {
        let mut text = match cloud.milliseconds {
            Some(milliseconds) => format!("{} answers in {milliseconds:.0} ms", cloud.address),
            None => screen.paint(Tone::Bad, &format!("{} does not answer", cloud.address)),
        };
        if let Some(ports) = cloud.ports {
            let _ = match (ports.free, ports.limit) {
                (Some(free), Some(limit)) => write!(text, "; {free} of {limit} ports free"),
                _ => write!(text, "; {} ports, no limit", ports.used),
            };
        }
        row(&mut page, "Cloud", &text);
    }
    for group in &status.pods.waiting {
        page.push('\n');
        let since = group.since.map(|since| format!(", the first for {}", ago(since, now))).unwrap_or_default();
        let plural = if group.count == 1 { "pod waits" } else { "pods wait" };
        screen.wrap(
            &mut page,
            2,
            "",
            &format!("{} {plural}{since}: {}", group.count, screen.paint(Tone::Bad, &group.reason)),
        );
        let more = if group.count > group.examples.len() { ", …" } else { "" };
        screen.wrap(&mut page, 4, "", &format!("{}{more}", group.examples.join(", ")));
        screen.wrap(&mut page, 4, "", &group.message);
        if let Some(cure) = &group.cure {
            screen.wrap(&mut page, 6, "→ ", cure);
        }
    }
    if !status.problems.is_empty() {
        page.push_str("\nProblems\n");
        for problem in &status.problems {
            screen.wrap(&mut page, 4, "- ", &problem.what);
            screen.wrap(&mut page, 6, "→ ", &problem.cure);
        }
    }
    if !status.told.is_empty() {
        page.push_str("\nTold in the last hour\n");
        for told in &status.told {
            screen.wrap(&mut page, 4, "- ", &format!("{} ×{}: {}", told.reason, told.count, told.last));
        }
    }
    if !status.unseen.is_empty() {
        page.push_str("\nNot seen\n");
        for unseen in &status.unseen {
            let text = screen.paint(Tone::Quiet, &format!("{}: {}", unseen.what, unseen.why));
            screen.wrap(&mut page, 4, "- ", &text);
        }
    }
    page
}

/// One line of progress.
pub(crate) fn line(status: &Status) -> String {
    let waiting: usize = status.pods.waiting.iter().map(|group| group.count).sum();
    format!(
        "controller {}/{}, daemon {}/{}, {} pods connected, {waiting} waiting, {} problems",
        status.controller.ready,
        status.controller.desired,
        status.daemon.ready,
        status.daemon.desired,
        status.pods.connected,
        status.problems.len()
    )
}

fn workload(workload: &Workload, screen: Screen) -> String {
    if !workload.installed {
        return screen.paint(Tone::Careful, "not seen as a workload of this namespace");
    }
    let ready = format!("{}/{} ready", workload.ready, workload.desired);
    let tone = if workload.ready >= workload.desired && workload.desired > 0 { Tone::Good } else { Tone::Bad };
    let mut text = screen.paint(tone, &ready);
    let images: Vec<String> = workload.images.iter().map(|(image, count)| format!("{image} ×{count}")).collect();
    if !images.is_empty() {
        let _ = write!(text, ", {}", images.join(", "));
    }
    match workload.restarts {
        0 => {}
        1 => text.push_str(", one restart"),
        restarts => {
            let _ = write!(text, ", {restarts} restarts");
        }
    }
    text
}

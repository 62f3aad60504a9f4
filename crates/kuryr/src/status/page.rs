//! The status on one screen. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::report::{Status, Waiting, Workload};
use crate::screen::{Screen, Tone, ago};

/// Width of the first column.
const NAMES: usize = 12;

/// The screen.
pub(crate) fn page(status: &Status, screen: Screen, now: Timestamp) -> String {
    let mut page = String::new();
    let row = |page: &mut String, name: &str, text: &str| screen.wrap(page, NAMES, &format!("{name:<NAMES$}"), text);
    let verdict = match (status.well, status.problems.len()) {
        (true, _) => screen.paint(Tone::Good, "well"),
        (false, 0) if status.pods.waiting.is_empty() => screen.paint(Tone::Bad, "Services wait"),
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
    let waiting = |groups: &[Waiting]| {
        let count = sum(groups);
        let tone = if count == 0 { Tone::Good } else { Tone::Bad };
        screen.paint(tone, &format!("{count} waiting"))
    };
    let mut pods = format!("{} connected, {} starting, ", status.pods.connected, status.pods.starting);
    pods.push_str(&waiting(&status.pods.waiting));
    if status.pods.others > 0 {
        let _ = write!(pods, "; {} with a network that is not Kuryr's", status.pods.others);
    }
    row(&mut page, "Pods", &pods);
    if let Some(services) = &status.services {
        let mut text =
            format!("{} ready, {} starting, {}", services.ready, services.starting, waiting(&services.waiting));
        if !services.not_as_asked.is_empty() {
            let _ = write!(text, "; {} not quite as they ask", sum(&services.not_as_asked));
        }
        row(&mut page, "Services", &text);
    }
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
        wait_for(&mut page, group, ("pod waits", "pods wait"), screen, now);
    }
    for group in status.services.iter().flat_map(|services| &services.waiting) {
        wait_for(&mut page, group, ("Service waits", "Services wait"), screen, now);
    }
    for group in status.services.iter().flat_map(|services| &services.not_as_asked) {
        let words = ("Service works, not quite as it asks", "Services work, not quite as they ask");
        wait_for(&mut page, group, words, screen, now);
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

/// Who waits for the same, for what, and what to do.
fn wait_for(page: &mut String, group: &Waiting, (one, many): (&str, &str), screen: Screen, now: Timestamp) {
    page.push('\n');
    let since = group.since.map(|since| format!(", the first for {}", ago(since, now))).unwrap_or_default();
    let who = if group.count == 1 { one } else { many };
    screen.wrap(page, 2, "", &format!("{} {who}{since}: {}", group.count, screen.paint(Tone::Bad, &group.reason)));
    let more = if group.count > group.examples.len() { ", …" } else { "" };
    screen.wrap(page, 4, "", &format!("{}{more}", group.examples.join(", ")));
    screen.wrap(page, 4, "", &group.message);
    if let Some(cure) = &group.cure {
        screen.wrap(page, 6, "→ ", cure);
    }
}

fn sum(groups: &[Waiting]) -> usize {
    groups.iter().map(|group| group.count).sum()
}

/// One line of progress.
pub(crate) fn line(status: &Status) -> String {
    let services = status
        .services
        .as_ref()
        .map(|services| format!(", {} Services ready, {} waiting", services.ready, sum(&services.waiting)));
    format!(
        "controller {}/{}, daemon {}/{}, {} pods connected, {} waiting{}, {} problems",
        status.controller.ready,
        status.controller.desired,
        status.daemon.ready,
        status.daemon.desired,
        status.pods.connected,
        sum(&status.pods.waiting),
        services.unwrap_or_default(),
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

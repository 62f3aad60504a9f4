//! What the lab shows in the end: what was created, the way of one packet, the milliseconds of one pod's birth, who answered
//! behind load balancers.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};

use crate::asking::{Answers, Asked};
use crate::namespaces::is_in_user_namespace;
use crate::netlink::Link;
use crate::pods::{Answer, LabPod};
use crate::runtime::POD_INTERFACE;
use crate::timeline::Stage;
use crate::way::{self, End};

/// A table of the pods.
pub(crate) fn pods(pods: &[LabPod]) -> String {
    let mut table = plain_table(["pod", "node", "address", "MAC", "Neutron port", "device on the node"]);
    for pod in pods {
        let node = pod.kubelet.node().name();
        table.add_row([&pod.name, node, &pod.address.to_string(), &pod.mac, &pod.port, &pod.device]);
    }
    format!("What was created\n{table}\n")
}

/// The way of a packet between two pods, on different nodes if there are such.
pub(crate) async fn way(pods: &[LabPod], fabric: &[Link]) -> Result<String> {
    let Some((first, others)) = pods.split_first() else { return Ok(String::new()) };
    let elsewhere = others.iter().find(|pod| pod.kubelet.node().name() != first.kubelet.node().name());
    let Some(second) = elsewhere.or(others.first()) else { return Ok(String::new()) };
    let addresses = (first.address.to_string(), second.address.to_string());
    let drawing = way::draw(&end(first, &addresses.0), &end(second, &addresses.1), fabric).await?;
    Ok(format!("The way of one packet from {} to {}\n{drawing}", first.name, second.name))
}

fn end<'a>(pod: &'a LabPod, address: &'a str) -> End<'a> {
    End { pod: &pod.name, address, interface: POD_INTERFACE, device: &pod.device, node: pod.kubelet.node() }
}

/// The stages of one birth, with the time since the first and since the one before.
pub(crate) fn birth(pod: &str, stages: &[(Stage, Duration)]) -> String {
    let mut table = plain_table(["ms", "+ms", "stage"]);
    for column in [0, 1] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut before = Duration::ZERO;
    for (stage, since) in stages {
        table.add_row([milliseconds(*since), milliseconds(since.saturating_sub(before)), stage.describe().to_owned()]);
        before = *since;
    }
    format!("The birth of {pod}\n{table}\n")
}

/// One line about the pings.
pub(crate) fn pings(pods: usize, answers: &[Answer]) -> String {
    let mut times: Vec<_> = answers.iter().map(|answer| answer.round_trip).collect();
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let worst = times.last().copied().unwrap_or_default();
    let every_pair = answers.len() == pods * pods.saturating_sub(1);
    let mut line = format!(
        "{} of {} pings between {pods} pods answered{} (median {}, worst {})",
        answers.len(),
        answers.len(),
        if every_pair { ", every pair both ways" } else { "" },
        round_trip(median),
        round_trip(worst),
    );
    let repeated = answers.iter().filter(|answer| answer.tries > 1).count();
    if repeated > 0 {
        // Writing to a string cannot fail.
        let _ = write!(line, "; {repeated} only after a second try");
    }
    line
}

/// So many pods are named in a line; the others are counted.
const NAMED: usize = 6;

/// A table of who answered how often what a pod asked.
pub(crate) fn balanced(asker: &str, asked: &[Asked], heard: &[Answers]) -> String {
    let mut table = plain_table(["load balancer of", "asked", "answered by"]);
    let mut before = "";
    for (asked, answers) in asked.iter().zip(heard) {
        let mut by: Vec<_> = answers.iter().collect();
        by.sort_by_key(|(pod, _)| (pod.len(), *pod));
        let mut by: Vec<_> = by.into_iter().map(|(pod, times)| format!("{pod} ×{times}")).collect();
        let others = by.len().saturating_sub(NAMED);
        by.truncate(NAMED);
        if others > 0 {
            by.push(format!("{others} others"));
        }
        let whom = if asked.whom == before { "" } else { &asked.whom };
        before = &asked.whom;
        table.add_row([whom, &asked.describe(), &by.join(", ")]);
    }
    format!("What {asker} heard from load balancers\n{table}\n")
}

/// How a user on the host gets in.
pub(crate) fn how_to_reach(kubeconfig: &Path, openrc: &str, pod: &str, asked: &[Asked]) -> String {
    let vip = asked.first().map(|asked| asked.at.to_string()).unwrap_or_default();
    // Root needs no user namespace, and may not enter the one it is in.
    let user = if is_in_user_namespace() { "--user --preserve-credentials " } else { "" };
    format!(
        "\nIt stays up until Ctrl-C. From another terminal of this machine:\n\n\
         export KUBECONFIG={}\n{openrc}\n\
         nsenter --target $(pgrep --newest --full -- '--answer {pod}$') {user}--net curl http://{vip}/\n\
         kubectl get pods,kuryrports,kuryrloadbalancers -o wide\nopenstack port list\n",
        kubeconfig.display()
    )
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1000.0)
}

/// Two digits that mean something: pings of one machine take microseconds.
fn round_trip(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    let digits = match ms {
        ms if ms < 0.1 => 3,
        ms if ms < 1.0 => 2,
        _ => 1,
    };
    format!("{ms:.digits$} ms")
}

fn plain_table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_of_microseconds_are_not_nothing() {
        let shown = [34, 340, 3_400, 34_000].map(|microseconds| round_trip(Duration::from_micros(microseconds)));
        assert_eq!(shown, ["0.034 ms", "0.34 ms", "3.4 ms", "34.0 ms"]);
    }
}

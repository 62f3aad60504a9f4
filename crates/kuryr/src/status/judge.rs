//! What was seen becomes a judgement. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt as _;
use kuryr_api::crd::{Condition, ConditionStatus, KuryrLoadBalancer, KuryrPort};
use kuryr_api::names;

use super::cures::{self, NO_KURYR_PORT};
use super::report::{Cloud, Headroom, Leader, Pods, Problem, Services, Status, Told, Unseen, Waiting, Workload};
use super::seen::{CloudSeen, DAEMON_SET, Part, Seen};

/// A pod without a KuryrPort is on its way for so long; then it waits.
const STARTING: SignedDuration = SignedDuration::from_secs(30);
/// Events older than this are history.
const RECENT: SignedDuration = SignedDuration::from_hours(1);
/// Clocks of two machines may differ by so much.
const SKEW: SignedDuration = SignedDuration::from_secs(5);
/// Free ports below this are worth a word: a deployment of some pods uses them up.
const FEW_PORTS: u64 = 20;
/// How many of the pods or Services that wait for the same are named.
const EXAMPLES: usize = 3;

/// How Kuryr is.
pub(crate) fn judge(seen: &Seen) -> Status {
    let mut problems = Vec::new();
    let controller = controller(seen);
    let daemon = daemon(seen);
    let leader = seen.lease.as_ref().ok().and_then(Option::as_ref).map(|lease| leader(lease, seen.now));
    let pods = pods(seen);
    let services = services(seen);
    let cloud = seen.cloud.as_ref().map(cloud);

    workloads(seen, (&controller, &daemon), leader.as_ref(), &pods, &mut problems);
    own_pods(seen, &mut problems);
    if let Some(leader) = leader.as_ref().filter(|leader| leader.expired) {
        problems.push(Problem {
            what: format!("nobody works: {} did not renew the Lease kuryr-controller", leader.holder),
            cure: format!(
                "kubectl -n {} get pods -l name=kuryr-controller; a standby takes over in seconds",
                seen.namespace
            ),
        });
    }
    if let (Err(error), Err(_), Err(_), Err(_)) = (&seen.deployment, &seen.lease, &seen.pods, &seen.kuryr_ports) {
        problems.push(Problem {
            what: format!("nothing can be seen of the cluster: {error}"),
            cure: "check KUBECONFIG and --context, the way to the API server (kubectl get nodes), and your rights"
                .to_owned(),
        });
    }
    if matches!(seen.kuryr_ports, Ok(None)) {
        problems.push(Problem {
            what: "the definition of KuryrPort is not in the cluster, so no pod gets a port".to_owned(),
            cure: "kuryr crds | kubectl apply -f -".to_owned(),
        });
    }
    if let Some(asked) = &seen.cloud {
        cloud_problems(asked, &mut problems);
    }
    let told = told(seen, pods.waiting.iter().chain(services.iter().flat_map(|services| &services.waiting)));
    let unseen = unseen(seen);
    // Where Services are off nobody works on what is left of them.
    let services_wait = seen.services && services.as_ref().is_some_and(|services| !services.waiting.is_empty());
    let well = problems.is_empty() && pods.waiting.is_empty() && !services_wait;
    Status { well, controller, daemon, leader, pods, services, cloud, problems, told, unseen }
}

fn controller(seen: &Seen) -> Workload {
    let Ok(Some(deployment)) = &seen.deployment else { return Workload::default() };
    let status = deployment.status.clone().unwrap_or_default();
    let desired = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    Workload {
        installed: true,
        desired,
        ready: status.ready_replicas.unwrap_or(0),
        updated: status.updated_replicas.unwrap_or(0),
        ..images(seen, "name", "kuryr-controller")
    }
}

fn daemon(seen: &Seen) -> Workload {
    let Ok(Some(daemon_set)) = &seen.daemon_set else { return Workload::default() };
    let status = daemon_set.status.clone().unwrap_or_default();
    Workload {
        installed: true,
        desired: status.desired_number_scheduled,
        ready: status.number_ready,
        updated: status.updated_number_scheduled.unwrap_or(0),
        ..images(seen, "app", "kuryr-cni")
    }
}

fn images(seen: &Seen, label: &str, value: &str) -> Workload {
    let mut workload = Workload::default();
    let pods = seen.own_pods.as_deref().unwrap_or_default();
    for pod in pods.iter().filter(|pod| pod.labels().get(label).is_some_and(|found| found == value)) {
        for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
            *workload.images.entry(container.image.clone().unwrap_or_default()).or_default() += 1;
        }
        workload.restarts += container_statuses(pod).map(|status| status.restart_count).sum::<i32>();
    }
    workload
}

fn container_statuses(pod: &Pod) -> impl Iterator<Item = &k8s_openapi::api::core::v1::ContainerStatus> {
    pod.status.iter().filter_map(|status| status.container_statuses.as_ref()).flatten()
}

fn leader(lease: &Lease, now: Timestamp) -> Leader {
    let spec = lease.spec.clone().unwrap_or_default();
    let renewed = spec.renew_time.map(|time| time.0);
    let lasts = SignedDuration::from_secs(i64::from(spec.lease_duration_seconds.unwrap_or(15)));
    let holder = spec.holder_identity.unwrap_or_default();
    let late = renewed.is_none_or(|renewed| now.duration_since(renewed) > lasts + SKEW);
    Leader {
        expired: holder.is_empty() || late,
        holder: if holder.is_empty() { "nobody".to_owned() } else { holder },
        since: spec.acquire_time.map(|time| time.0),
        renewed,
    }
}

/// Workloads that are not there are a problem, unless everything says that Kuryr runs as plain processes.
fn workloads(
    seen: &Seen,
    (controller, daemon): (&Workload, &Workload),
    leader: Option<&Leader>,
    pods: &Pods,
    problems: &mut Vec<Problem>,
) {
    let namespace = &seen.namespace;
    let works_elsewhere = leader.is_some_and(|leader| !leader.expired) || pods.connected > 0;
    let rows = [
        (matches!(seen.deployment, Ok(None)), controller, "Deployment", "kuryr-controller", "name=kuryr-controller"),
        (matches!(seen.daemon_set, Ok(None)), daemon, "DaemonSet", DAEMON_SET, "app=kuryr-cni"),
    ];
    for (missing, workload, kind, name, label) in rows {
        if missing && !works_elsewhere {
            problems.push(Problem {
                what: format!("there is no {kind} {name} in namespace {namespace}"),
                cure: "install Kuryr, or say where it is with --namespace".to_owned(),
            });
        }
        if workload.installed && workload.ready < workload.desired {
            problems.push(Problem {
                what: format!("{kind} {name}: {} of {} pods ready", workload.ready, workload.desired),
                cure: format!(
                    "kubectl -n {namespace} get pods -l {label} -o wide; kubectl -n {namespace} logs -l {label}"
                ),
            });
        }
        if workload.installed && workload.desired == 0 {
            problems.push(Problem {
                what: format!("{kind} {name} has no pods at all"),
                cure: match kind {
                    "Deployment" => format!("kubectl -n {namespace} scale deployment {name} --replicas 2"),
                    _ => format!("kubectl get nodes; kubectl -n {namespace} describe daemonset {name}"),
                },
            });
        }
    }
    if workload_lags(controller) || workload_lags(daemon) {
        problems.push(Problem {
            what: "an update is under way: some pods are of an older template".to_owned(),
            cure: format!("kubectl -n {namespace} rollout status deployment kuryr-controller; kubectl -n {namespace} rollout status daemonset {DAEMON_SET}"),
        });
    }
}

fn workload_lags(workload: &Workload) -> bool {
    workload.installed && workload.updated < workload.desired
}

/// Pods of ours that do not run, with the words of their last end.
fn own_pods(seen: &Seen, problems: &mut Vec<Problem>) {
    for pod in seen.own_pods.as_deref().unwrap_or_default() {
        for status in container_statuses(pod).filter(|status| !status.ready) {
            let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
            let Some(waiting) = waiting.filter(|waiting| waiting.reason.as_deref() != Some("ContainerCreating")) else {
                continue;
            };
            let reason = waiting.reason.as_deref().unwrap_or("it waits");
            let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            let words =
                ended.and_then(|ended| ended.message.as_deref()).or(waiting.message.as_deref()).unwrap_or_default();
            problems.push(Problem {
                what: format!("{}: {reason} after {} restarts {words}", pod.name_any(), status.restart_count)
                    .trim_end()
                    .to_owned(),
                cure: format!("kubectl -n {} logs {} --previous", seen.namespace, pod.name_any()),
            });
        }
    }
}

fn cloud(asked: &CloudSeen) -> Cloud {
    let ports = asked.ports.as_ref().ok();
    Cloud {
        address: asked.address.clone(),
        reachable: asked.answer.is_ok(),
        milliseconds: asked.answer.as_ref().ok().map(|took| took.as_secs_f64() * 1000.0),
        ports: ports.map(|line| Headroom { limit: line.limit, used: line.used + line.reserved, free: line.free() }),
    }
}

fn cloud_problems(asked: &CloudSeen, problems: &mut Vec<Problem>) {
    if let Err(error) = &asked.answer {
        problems.push(Problem { what: format!("the cloud does not answer: {error}"), cure: "kuryr check".to_owned() });
        return;
    }
    match &asked.ports {
        Ok(line) if line.free().is_some_and(|free| free < FEW_PORTS) => problems.push(Problem {
            what: format!(
                "{} of {} ports of the project's quota are left",
                line.free().unwrap_or(0),
                line.limit.unwrap_or(0)
            ),
            cure: "openstack quota set --ports NUMBER PROJECT".to_owned(),
        }),
        _ => {}
    }
}

/// One pod or Service that waits.
struct OneWaiting<'a> {
    /// `namespace/name`
    name: String,
    reason: &'a str,
    message: &'a str,
    since: Option<Timestamp>,
}

impl<'a> OneWaiting<'a> {
    fn of(balancer: &KuryrLoadBalancer, condition: &'a Condition) -> OneWaiting<'a> {
        OneWaiting {
            name: full_name(balancer),
            reason: &condition.reason,
            message: &condition.message,
            since: Some(condition.last_transition_time.0),
        }
    }
}

fn pods(seen: &Seen) -> Pods {
    let mut counted = Pods::default();
    let mut waiting: Vec<OneWaiting<'_>> = Vec::new();
    let ports: &[KuryrPort] = match &seen.kuryr_ports {
        Ok(Some(ports)) => ports,
        _ => &[],
    };
    let ended: HashSet<&str> = (seen.pods.as_deref().unwrap_or_default().iter())
        .filter(|pod| matches!(phase(pod), "Succeeded" | "Failed"))
        .filter_map(|pod| pod.metadata.uid.as_deref())
        .collect();
    let mut by_owner: HashMap<&str, &KuryrPort> = HashMap::new();
    for port in ports {
        by_owner.insert(port.spec.pod_uid.as_str(), port);
        if ended.contains(port.spec.pod_uid.as_str()) || port.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let status = port.status.as_ref();
        let ready = status.and_then(|status| status.conditions.iter().find(|condition| condition.kind == "Ready"));
        let active = status.is_some_and(|status| {
            !status.vifs.is_empty() && status.vifs.values().all(|entry| entry.vif.as_ref().is_ok_and(|vif| vif.active))
        });
        match ready {
            Some(condition) if condition.status == ConditionStatus::False => {
                let since = condition.last_transition_time.0;
                let young = seen.now.duration_since(since) < STARTING;
                if condition.reason == "WaitingForNode" && young {
                    counted.starting += 1;
                } else {
                    waiting.push(OneWaiting {
                        name: full_name(port),
                        reason: &condition.reason,
                        message: &condition.message,
                        since: Some(since),
                    });
                }
            }
            // kuryr-kubernetes wrote no conditions.
            _ if active || ready.is_some() => counted.connected += 1,
            _ => counted.starting += 1,
        }
    }
    if matches!(seen.kuryr_ports, Ok(Some(_))) {
        for pod in seen.pods.as_deref().unwrap_or_default() {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            if by_owner.contains_key(uid) || !is_ours_to_connect(pod) {
                continue;
            }
            let scheduled = scheduled(pod);
            if phase(pod) == "Running" {
                counted.others += 1;
            } else if scheduled.is_some_and(|since| seen.now.duration_since(since) < STARTING) {
                counted.starting += 1;
            } else {
                waiting.push(OneWaiting {
                    name: full_name(pod),
                    reason: NO_KURYR_PORT,
                    message: "the pod is on a node and the controller made no KuryrPort for it",
                    since: scheduled,
                });
            }
        }
    }
    counted.waiting = grouped(waiting, |reason| cures::cure(reason, &seen.namespace));
    counted
}

/// `None`: there are none.
fn services(seen: &Seen) -> Option<Services> {
    let Ok(Some(balancers)) = &seen.kuryr_load_balancers else { return None };
    let mut counted = Services::default();
    let (mut waiting, mut not_as_asked): (Vec<OneWaiting<'_>>, Vec<OneWaiting<'_>>) = Default::default();
    for balancer in balancers.iter().filter(|balancer| balancer.metadata.deletion_timestamp.is_none()) {
        let status = balancer.status.as_ref();
        let said = |kind: &str| status.and_then(|status| status.conditions.iter().find(|said| said.kind == kind));
        let is_false = |condition: &Condition| condition.status == ConditionStatus::False;
        if let Some(condition) = said("Accepted").filter(|said| is_false(said)) {
            not_as_asked.push(OneWaiting::of(balancer, condition));
        }
        match said("Ready") {
            Some(condition) if is_false(condition) => waiting.push(OneWaiting::of(balancer, condition)),
            Some(_) => counted.ready += 1,
            // kuryr-kubernetes wrote no conditions.
            None if status.is_some_and(|status| status.loadbalancer.is_some()) => counted.ready += 1,
            None => counted.starting += 1,
        }
    }
    counted.waiting = grouped(waiting, |reason| cures::of_service(reason, &seen.namespace));
    counted.not_as_asked = grouped(not_as_asked, |reason| cures::of_service(reason, &seen.namespace));
    (!balancers.is_empty()).then_some(counted)
}

/// `namespace/name`
fn full_name(object: &impl kube::ResourceExt) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn scheduled(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "True");
    scheduled?.last_transition_time.as_ref().map(|time| time.0)
}

/// On a node, with a network of its own, its containers not over, and not on its way out.
fn is_ours_to_connect(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    spec.node_name.as_ref().is_some_and(|node| !node.is_empty())
        && spec.host_network != Some(true)
        && !matches!(phase(pod), "Succeeded" | "Failed")
        && pod.metadata.deletion_timestamp.is_none()
}

fn grouped(waiting: Vec<OneWaiting<'_>>, cure: impl Fn(&str) -> Option<String>) -> Vec<Waiting> {
    let mut groups: BTreeMap<&str, Vec<OneWaiting<'_>>> = BTreeMap::new();
    for one in waiting {
        groups.entry(one.reason).or_default().push(one);
    }
    let mut groups: Vec<Waiting> = groups
        .into_iter()
        .map(|(reason, mut all)| {
            all.sort_by(|a, b| (a.since, &a.name).cmp(&(b.since, &b.name)));
            Waiting {
                reason: reason.to_owned(),
                count: all.len(),
                since: all.first().and_then(|first| first.since),
                examples: all.iter().take(EXAMPLES).map(|one| one.name.clone()).collect(),
                message: all.first().map(|first| first.message.to_owned()).unwrap_or_default(),
                cure: cure(reason),
            }
        })
        .collect();
    groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
    groups
}

/// Our Events of the last hour, unless somebody still waits for the same.
fn told<'a>(seen: &Seen, waiting: impl Iterator<Item = &'a Waiting>) -> Vec<Told> {
    let waited_for: HashSet<&str> = waiting.map(|group| group.reason.as_str()).collect();
    let mut by_reason: BTreeMap<&str, (usize, Option<Timestamp>, &str)> = BTreeMap::new();
    for event in seen.events.as_deref().unwrap_or_default().iter().filter(|event| is_ours(event)) {
        let Some(last) = last_time(event).filter(|last| seen.now.duration_since(*last) < RECENT) else { continue };
        let reason = event.reason.as_deref().unwrap_or_default();
        if waited_for.contains(reason) {
            continue;
        }
        let entry = by_reason.entry(reason).or_default();
        entry.0 += 1;
        if entry.1 <= Some(last) {
            (entry.1, entry.2) = (Some(last), event.message.as_deref().unwrap_or_default());
        }
    }
    let told = by_reason.into_iter().map(|(reason, (count, _, last))| Told {
        reason: reason.to_owned(),
        count,
        last: last.to_owned(),
    });
    told.collect()
}

fn is_ours(event: &Event) -> bool {
    let source = event.source.as_ref().and_then(|source| source.component.as_deref());
    [event.reporting_component.as_deref(), source].contains(&Some(names::COMPONENT))
}

fn last_time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let once = event.event_time.as_ref().map(|time| time.0);
    series.or(last).or(once)
}

fn unseen(seen: &Seen) -> Vec<Unseen> {
    fn why<T>(part: &Part<T>) -> Option<&String> {
        part.as_ref().err()
    }
    let parts = [
        ("the controller's Deployment", why(&seen.deployment)),
        ("the daemon's DaemonSet", why(&seen.daemon_set)),
        ("the Lease", why(&seen.lease)),
        ("Kuryr's own pods", why(&seen.own_pods)),
        ("pods", why(&seen.pods)),
        ("nodes", why(&seen.nodes)),
        ("KuryrPorts", why(&seen.kuryr_ports)),
        ("KuryrLoadBalancers", why(&seen.kuryr_load_balancers).filter(|_| seen.services)),
        ("Events", why(&seen.events)),
        (
            "the quota of ports",
            seen.cloud.as_ref().filter(|cloud| cloud.answer.is_ok()).and_then(|cloud| why(&cloud.ports)),
        ),
    ];
    let mut unseen: Vec<Unseen> = (parts.into_iter())
        .filter_map(|(what, why)| Some(Unseen { what: what.to_owned(), why: why?.clone() }))
        .collect();
    if seen.cloud.is_none() {
        unseen.push(Unseen {
            what: "the cloud".to_owned(),
            why: "there are no credentials here; name kuryr.conf with --config-file, or set OS_CLOUD or OS_AUTH_URL"
                .to_owned(),
        });
    }
    unseen
}

//! The bare client: the controller's client of OpenStack creating the same ports, and nothing else.
//!
//! It is a process of its own, so that it has what the controller has. `scale --bare COUNT AT_ONCE` reads `OS_*`, and from
//! `BARE_NETWORK`, `BARE_SUBNET`, `BARE_SECURITY_GROUP`, `BARE_PROJECT`, `BARE_HOSTS` what the ports are to be like.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use kuryr_api::names;
use kuryr_openstack::network::{NewFixedIp, NewPort};
use kuryr_openstack::{Cloud, CloudSettings};

use crate::clouds::{Clouds, USER};

/// What it says on standard output, before the seconds.
const TOOK: &str = "bare";

/// Creates `count` ports, `at_once` at a time, tells how long that took, and deletes them.
pub(crate) async fn run(count: usize, at_once: usize) -> Result<()> {
    let variable = |name: &str| std::env::var(name).with_context(|| format!("the bare client needs {name}"));
    let settings = CloudSettings { max_concurrency: at_once, ..CloudSettings::from_environment()? };
    let cloud = Cloud::new(settings)?;
    let (network_id, subnet_id) = (variable("BARE_NETWORK")?, variable("BARE_SUBNET")?);
    let (group, project) = (variable("BARE_SECURITY_GROUP")?, variable("BARE_PROJECT")?);
    let hosts = variable("BARE_HOSTS")?;
    let hosts: Vec<&str> = hosts.split(',').collect();
    let mut random = fastrand::Rng::with_seed(1);
    let ports: Vec<NewPort> = (0..count)
        .map(|number| NewPort {
            network_id: network_id.clone(),
            project_id: Some(project.clone()),
            name: format!("default/web-{number}"),
            fixed_ips: vec![NewFixedIp { subnet_id: subnet_id.clone(), ip_address: None }],
            security_groups: Some(vec![group.clone()]),
            device_id: format!("{:08x}-0000-4000-8000-{:012x}", random.u32(..), random.u64(..1 << 48)),
            device_owner: names::DEVICE_OWNER.to_owned(),
            host_id: hosts.get(number % hosts.len()).map(|host| (*host).to_owned()),
            tags: vec![names::cluster_tag("bare")],
            description: format!("pod default/web-{number} {}", names::cluster_tag("bare")),
            admin_state_up: Some(true),
            ..NewPort::default()
        })
        .collect();
    // A running controller has its token, and knows Neutron's extensions.
    cloud.network().extensions().await?;
    let network = cloud.network();
    let begun = Instant::now();
    let created = futures::stream::iter(&ports).map(|port| network.create_port(port)).buffer_unordered(at_once);
    let created: Vec<_> = created.try_collect().await?;
    println!("{TOOK} {:.4}", begun.elapsed().as_secs_f64());
    let deleted = futures::stream::iter(&created).map(|port| network.delete_port(&port.id)).buffer_unordered(at_once);
    deleted.try_collect::<()>().await?;
    Ok(())
}

/// Runs it against these clouds; how long the creation took.
pub(crate) async fn against(clouds: &Clouds, count: usize, at_once: usize) -> Result<Duration> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--bare", &count.to_string(), &at_once.to_string()])
        .envs(clouds.openstack.openrc(USER.0, USER.1))
        .env("BARE_NETWORK", &clouds.network.network)
        .env("BARE_SUBNET", clouds.network.subnets.first().map_or("", String::as_str))
        .env("BARE_SECURITY_GROUP", &clouds.security_group)
        .env("BARE_PROJECT", &clouds.project)
        .env("BARE_HOSTS", "n0,n1");
    let out = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&out.stdout);
    let seconds = said.lines().find_map(|line| line.strip_prefix(TOOK)?.trim().parse::<f64>().ok());
    match seconds {
        Some(seconds) if out.status.success() => Ok(Duration::from_secs_f64(seconds)),
        _ => bail!("the bare client ended with {}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim()),
    }
}

/// Reads `--bare COUNT AT_ONCE`.
pub(crate) fn asked(arguments: &[String]) -> Option<(usize, usize)> {
    let [first, count, at_once] = arguments else { return None };
    (first == "--bare").then_some((count.parse().ok()?, at_once.parse().ok()?))
}

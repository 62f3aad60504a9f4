//! The controller as a process of its own: the executable that is shipped.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use kuryr_fake::openstack::ADMIN_PASSWORD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::clouds::{Clouds, USER};

/// Longest time a start may take here.
const START: Duration = Duration::from_secs(120);
/// How often readiness is asked for: the figure is that exact.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// A running controller; it ends with this value.
pub(crate) struct Controller {
    process: Child,
    /// From its start to its readiness.
    pub(crate) ready_after: Duration,
    /// Processor time until then, in seconds.
    pub(crate) effort: f64,
    folder: tempfile::TempDir,
}

impl Controller {
    /// Starts it, with the settings it has by default, and waits until it is ready.
    pub(crate) async fn start(clouds: &Clouds) -> Result<Controller> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let file = folder.path().join("kuryr.conf");
        // A port nobody uses at the moment.
        let health = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        std::fs::write(&file, configuration(clouds, health.port()))?;
        let log = std::fs::File::create(folder.path().join("controller.log"))?;
        let executable = executable()?;
        let begun = Instant::now();
        let process = Command::new(&executable)
            .arg("controller")
            .arg("--config-file")
            .arg(&file)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", executable.display()))?;
        let mut controller = Controller { process, ready_after: Duration::ZERO, effort: 0.0, folder };
        while !is_ready(health).await {
            let ended = controller.process.try_wait()?;
            if ended.is_some() || begun.elapsed() > START {
                bail!(
                    "the controller is not ready after {:.1} s; its log ends with: {}",
                    begun.elapsed().as_secs_f64(),
                    controller.tail()
                );
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        controller.ready_after = begun.elapsed();
        controller.effort = controller.processor_time()?;
        Ok(controller)
    }

    /// Resident memory now and at its highest, in MiB.
    pub(crate) fn memory(&self) -> Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
            kibibytes.map(|kibibytes| kibibytes / 1024.0).with_context(|| format!("no {name} of the controller"))
        };
        Ok((mebibytes("VmRSS")?, mebibytes("VmHWM")?))
    }

    /// Processor time so far, in seconds: the same however busy the machine is.
    pub(crate) fn processor_time(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        // utime and stime (proc_pid_stat(5)), in ticks of 1/100 s on every Linux this runs on (USER_HZ).
        let ticks: f64 = after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        Ok(ticks / 100.0)
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        let log = std::fs::read(self.folder.path().join("controller.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `$KURYR`, or the executable that was built beside this one.
fn executable() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("KURYR") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().context("cannot find our own executable")?;
    // target/PROFILE/deps/scale-… beside target/PROFILE/kuryr
    let beside = own.parent().and_then(|deps| deps.parent()).map(|profile| profile.join("kuryr")).unwrap_or_default();
    ensure!(
        beside.is_file(),
        "{} is missing: build it (`cargo build --release -p kuryr`), or set KURYR to the executable to measure",
        beside.display()
    );
    Ok(beside)
}

fn configuration(clouds: &Clouds, health: u16) -> String {
    format!(
        "[kuryr]\ncluster_name = scale\nlisten_address = 127.0.0.1\nservices = {balances}\n\
         [health_server]\nport = {health}\n\
         [prometheus_exporter]\ncontroller_exporter_port = 0\n\
         [kubernetes]\napi_root = {api}\ntoken_file = \"\"\nendpoints_driver_octavia_provider = ovn\n\
         [octavia_defaults]\nmember_mode = L2\nlb_algorithm = SOURCE_IP_PORT\n\
         [neutron]\nauth_type = password\nauth_url = {auth}\nusername = {user}\npassword = {ADMIN_PASSWORD}\n\
         project_name = {project_name}\nuser_domain_name = Default\nproject_domain_name = Default\n\
         [neutron_defaults]\nproject = {project}\npod_subnet = {subnet}\npod_security_groups = {group}\novs_bridge = br-int\n\
         service_subnet = {services}\n",
        api = clouds.api,
        auth = clouds.openstack.auth_url(),
        user = USER.0,
        project_name = USER.1,
        project = clouds.project,
        subnet = clouds.network.subnets.join(","),
        group = clouds.security_group,
        balances = clouds.balances,
        services = clouds.service_subnet,
    )
}

async fn is_ready(address: std::net::SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    ask.await.is_ok_and(|answer| answer.get(9..12) == Some(b"200"))
}

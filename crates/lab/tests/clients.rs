//! `openstack` and `kubectl`, which know nothing of us, with a lab that is kept: what its last lines promise.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is a test")]

mod kept;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use kept::Lab;
use serde_json::Value;

/// A client as the user has it, with what the lab said is to be set.
struct User<'a>(&'a Lab);

impl User<'_> {
    fn run(&self, program: PathBuf, arguments: &[&str]) -> String {
        let mut command = Command::new(&program);
        // Nothing of the user's own clouds.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OS_") || name.ends_with("_proxy")) {
            command.env_remove(name);
        }
        let variables = self.0.variables.iter().map(|(name, value)| (name, value));
        let output = command.envs(variables).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {arguments:?}: {errors}", program.display());
        String::from_utf8(output.stdout).unwrap()
    }

    fn openstack(&self, arguments: &[&str]) -> String {
        self.run("openstack".into(), arguments)
    }

    fn kubectl(&self, arguments: &[&str]) -> Value {
        let folder = std::env::var_os("KUBE_BIN").expect("KUBE_BIN is the folder `cargo xtask bed executables` prints");
        serde_json::from_str(&self.run(PathBuf::from(folder).join("kubectl"), arguments)).unwrap()
    }
}

#[test]
#[ignore = "needs root or user namespaces, python3-openstackclient and KUBE_BIN; run by cargo xtask test"]
fn ports_tell_whose_they_are_and_one_deleted_by_hand_is_reported() {
    let lab = Lab::keep(2);
    let user = User(&lab);
    let listed = user.openstack(&["port", "list", "--long", "--device-owner", "compute:kuryr", "-f", "json"]);
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    for name in ["default/pod-1", "default/pod-2"] {
        let port = listed.iter().find(|port| port["Name"] == name).unwrap_or_else(|| panic!("no {name}: {listed:?}"));
        assert_eq!(port["Device Owner"], "compute:kuryr");
        let tags = port["Tags"].as_array().unwrap_or_else(|| panic!("no tags: {port}"));
        assert!(tags.iter().any(|tag| tag.as_str().is_some_and(|tag| tag.starts_with("kuryr:cluster="))), "{port}");
    }
    let one = listed.iter().find(|port| port["Name"] == "default/pod-1").unwrap();
    user.openstack(&["port", "delete", one["ID"].as_str().unwrap()]);

    // The next comparison with Neutron finds it; `[kuryr] drift_interval` says how often there is one.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let kuryr_port = user.kubectl(&["get", "kuryrport", "pod-1", "-o", "json"]);
        let conditions = kuryr_port["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default();
        if ready["status"] == "False" {
            assert_eq!(ready["reason"], "PortMissing", "{ready}");
            break;
        }
        assert!(Instant::now() < deadline, "the missing port is not reported: {ready}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
#[ignore = "needs root, pgrep and curl; run by cargo xtask test"]
fn a_vip_is_asked_from_a_pod_as_the_last_lines_say() {
    let lab = Lab::keep(2);
    let line = lab.said.iter().find(|line| line.starts_with("nsenter ")).expect("a line that enters a pod");
    let mut heard: Vec<String> = (0..4).map(|_| User(&lab).run("sh".into(), &["-c", line]).trim().to_owned()).collect();
    heard.sort();
    assert_eq!(heard, ["pod-1", "pod-1", "pod-2", "pod-2"]);
}

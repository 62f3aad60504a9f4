//! The daemon's last act on a node, when Kuryr is uninstalled: everything of ours goes, and it can be asked what is left.
//!
//! First no new pod comes: ADD is refused, and STATUS says so. Sandboxes whose pods are gone are still to be taken down, and
//! only DEL does that, for which runtimes need configuration and plugin: both stay until nothing is wired. Then they go, and
//! the files. An interface of a pod that runs is never touched: it is waited for.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{self, Checkpoints};
use crate::config::Config;
use crate::error::{CniError, code};
use crate::install::Installer;
use crate::leftovers::sweep;
use crate::plug::Plugger;
use crate::requests::Node;
use crate::server;
use crate::wiring::Wiring;

/// How often it is looked whether the last container has gone.
const AGAIN: Duration = Duration::from_secs(1);

/// Takes Kuryr off this node; returns when nothing is left. Its caller limits the time.
///
/// # Errors
/// Code 5: a file cannot be removed.
pub async fn leave(config: Config, client: Client) -> Result<(), CniError> {
    serve_and_leave(&node(config, client)?).await
}

/// What is left of Kuryr on this node, in words; nothing, if nothing is.
///
/// # Errors
/// Code 5: it cannot be looked.
pub async fn left(config: Config, client: Client) -> Result<Vec<String>, CniError> {
    let node = node(config, client)?;
    Ok([files(&node.config), wired(&node).await?].concat())
}

fn node(config: Config, client: Client) -> Result<Node, CniError> {
    let failed = |error| failed("read", &config.state_dir, &error);
    // Looking makes nothing: a folder that is gone stays gone.
    let checkpoints = match config.state_dir.is_dir() {
        true => Checkpoints::load(&config.state_dir, &checkpoint::boot_id().map_err(failed)?).map_err(failed)?,
        false => Checkpoints::none(),
    };
    let wiring = Wiring::Real(Plugger::new(config.plug.clone()));
    Ok(Node::leaving(config, client, wiring, checkpoints))
}

async fn serve_and_leave(node: &Node) -> Result<(), CniError> {
    let socket = &node.config.socket;
    let listener = server::bind(socket).map_err(|error| failed("opened", socket, &error))?;
    let unwired = CancellationToken::new();
    let ended = unwired.clone();
    tokio::join!(server::serve(listener, node.clone(), ended), async {
        until_unwired(node).await;
        unwired.cancel();
    });
    take_away(node)
}

/// Until no container is wired any more.
async fn until_unwired(node: &Node) {
    let mut told = Vec::new();
    loop {
        let swept = sweep(node).await;
        let left = match (swept, wired(node).await) {
            (Ok(()), Ok(left)) => left,
            (Err(error), _) | (_, Err(error)) => vec![error.to_string()],
        };
        if left.is_empty() {
            return;
        }
        if left != told {
            tracing::warn!("waiting until nothing is left of: {}", left.join(", "));
            told = left;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn take_away(node: &Node) -> Result<(), CniError> {
    let config = &node.config;
    if let Some(installer) = installer(config) {
        let removed = installer.remove_conflist().and_then(|()| installer.remove_plugin());
        removed.map_err(|error| CniError::new(code::IO, error.to_string()))?;
    }
    for file in own_files(config) {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("removed", &file, &error)),
            _ => {}
        }
    }
    // A folder that holds something else is somebody else's, too; one that is a mount stays, empty.
    let _ = fs::remove_dir(&config.state_dir);
    Ok(())
}

/// Attachments on record, and devices that carry our marks.
async fn wired(node: &Node) -> Result<Vec<String>, CniError> {
    let records = node.checkpoints.all().into_iter();
    let records = records.map(|record| format!("the pod {}/{}", record.pod.namespace, record.pod.name));
    let devices = node.wiring.owned().await?.into_iter().map(|device| format!("the interface {}", device.host_ifname));
    Ok(records.chain(devices).collect())
}

/// Whoever installs knows what was installed; nobody, where others put it there.
fn installer(config: &Config) -> Option<Installer> {
    config.install.clone().map(|settings| Installer::new(settings, config.socket.clone()))
}

/// Files that are there.
fn files(config: &Config) -> Vec<String> {
    let installed = installer(config).map(|installer| installer.there()).unwrap_or_default();
    let own = own_files(config).into_iter().filter(|file| fs::symlink_metadata(file).is_ok());
    installed.into_iter().chain(own).map(|file| file.display().to_string()).collect()
}

/// The socket, and what checkpoints are made of.
fn own_files(config: &Config) -> Vec<PathBuf> {
    let entries = fs::read_dir(&config.state_dir).into_iter().flatten().filter_map(Result::ok);
    let checkpoints = entries.map(|entry| entry.path()).filter(|path| checkpoint::is_ours(path));
    checkpoints.chain([config.socket.clone()]).collect()
}

fn failed(what: &str, path: &Path, error: &io::Error) -> CniError {
    CniError::new(code::IO, format!("{} cannot be {what}; check the mounts of the daemon's pod", path.display()))
        .details(error)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::install;
    use crate::protocol::{self, Request};
    use crate::requests::script::Script;
    use crate::requests::turns::StopSignal;

    fn node_in(dir: &Path, script: &Script) -> Node {
        let mut config = Config::new("n1");
        config.socket = dir.join("run/cni.sock");
        config.state_dir = dir.join("state");
        config.install = Some(install::Settings {
            plugin_source: dir.join("image/kuryr-cni"),
            bin_dir: dir.join("bin"),
            conf_dir: dir.join("net.d"),
            withdraw_after: None,
            remove_on_shutdown: false,
        });
        for (file, content) in [
            ("run/cni.sock", ""),
            ("bin/kuryr-cni", "the plugin"),
            ("bin/bridge", "of others"),
            ("net.d/10-kuryr.conflist", "{}"),
            ("net.d/20-other.conflist", "{}"),
            ("state/old.damaged", "half a record"),
        ] {
            let file = dir.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        let checkpoints = Checkpoints::load(&config.state_dir, "boot").unwrap();
        let api = tower::service_fn(async |_: http::Request<kube::client::Body>| {
            Err::<http::Response<kube::client::Body>, _>(io::Error::other("no API server here"))
        });
        Node::leaving(config, Client::new(api, "default"), Wiring::Scripted(script.clone()), checkpoints)
    }

    fn there(dir: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for folder in ["run", "bin", "net.d", "state"] {
            let entries = fs::read_dir(dir.join(folder)).into_iter().flatten();
            names.extend(entries.map(|entry| format!("{folder}/{}", entry.unwrap().file_name().display())));
        }
        names.sort();
        names
    }

    #[tokio::test]
    async fn everything_of_ours_goes_and_what_is_of_others_stays() {
        let dir = TempDir::new().unwrap();
        let node = node_in(dir.path(), &Script::new());
        assert_eq!(files(&node.config).len(), 4, "{:?}", files(&node.config));
        serve_and_leave(&node).await.unwrap();
        assert_eq!(files(&node.config), [] as [String; 0]);
        assert_eq!(there(dir.path()), ["bin/bridge", "net.d/20-other.conflist"]);
        assert!(!node.config.state_dir.exists());
        serve_and_leave(&node).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_wired_is_waited_for_with_all_that_del_needs_and_no_new_pod_comes() {
        let dir = TempDir::new().unwrap();
        let script = Script::new();
        let node = node_in(dir.path(), &script);
        let device = crate::plug::OwnedDevice {
            container_id: "c1".to_owned(),
            host_ifname: "tap1".to_owned(),
            port_id: "p1".to_owned(),
            ifname: "eth0".to_owned(),
            device: true,
            switch_port: true,
        };
        script.edit(|owned| owned.push(device));
        let before = there(dir.path());
        let waiting = tokio::time::timeout(2 * AGAIN, serve_and_leave(&node)).await;
        assert!(waiting.is_err(), "it did not wait");
        assert_eq!(there(dir.path()), before);
        assert_eq!(wired(&node).await.unwrap(), ["the interface tap1"]);
        for (command, expected) in [("ADD", code::TRY_LATER), ("STATUS", code::NOT_AVAILABLE)] {
            let request = Request { version: protocol::VERSION, command: command.into(), ..Request::default() };
            let refused = node.answer(&request, &StopSignal::default()).await.unwrap_err();
            assert!(refused.code == expected && refused.to_string().contains("taken off"), "{command}: {refused}");
        }
        script.edit(Vec::clear);
        serve_and_leave(&node).await.unwrap();
        assert_eq!(there(dir.path()), ["bin/bridge", "net.d/20-other.conflist"]);
    }
}

//! The installation over time, on a paused clock, with real files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::error::code;

struct Node {
    dir: TempDir,
    status: watch::Sender<Option<String>>,
    trouble: Trouble,
    shutdown: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Node {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for folder in ["bin", "conf"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("source"), "the plugin").unwrap();
        Self {
            dir,
            status: watch::Sender::new(Some("nothing is known yet".to_owned())),
            trouble: Trouble::default(),
            shutdown: CancellationToken::new(),
            task: None,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            plugin_source: self.path("source"),
            bin_dir: self.path("bin"),
            conf_dir: self.path("conf"),
            withdraw_after: Some(Duration::from_secs(10)),
            remove_on_shutdown: false,
        }
    }

    fn start(&mut self) {
        self.start_with(self.settings());
    }

    fn start_with(&mut self, settings: Settings) {
        let said = self.status.subscribe();
        let status = move || {
            let said = said.borrow().clone();
            async move {
                let code = |trouble: &String| match trouble.contains("Open vSwitch") {
                    true => code::LIMITED_CONNECTIVITY,
                    false => code::NOT_AVAILABLE,
                };
                said.map_or(Ok(()), |trouble| Err(CniError::new(code(&trouble), trouble)))
            }
        };
        self.shutdown = CancellationToken::new();
        let keep = keep(
            settings,
            "/run/kuryr/cni.sock".into(),
            status,
            self.status.subscribe(),
            self.trouble.clone(),
            self.shutdown.clone(),
        );
        self.task = Some(tokio::spawn(keep));
    }

    async fn stop(&mut self) {
        self.shutdown.cancel();
        self.task.take().unwrap().await.unwrap();
    }

    fn serves(&self) {
        self.status.send_replace(None);
    }

    fn fails(&self, trouble: &str) {
        self.status.send_replace(Some(trouble.to_owned()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    fn has_conflist(&self) -> bool {
        self.path(CONFLIST).exists()
    }
}

type Damage = fn(&std::path::Path);

const PLUGIN: &str = "bin/kuryr-cni";
const CONFLIST: &str = "conf/10-kuryr.conflist";

async fn pass(time: Duration) {
    sleep(time).await;
}

/// Everything that can happen without time passing happens: the paused clock waits for files, too.
async fn settle() {
    pass(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_plugin_comes_at_once_and_the_configuration_when_the_daemon_serves() {
    let mut node = Node::new();
    node.start();
    settle().await;
    assert_eq!(node.read(PLUGIN).as_deref(), Some("the plugin"));
    assert_eq!(fs::metadata(node.path(PLUGIN)).unwrap().permissions().mode() & 0o7777, 0o755);
    pass(Duration::from_secs(600)).await;
    assert!(!node.has_conflist(), "it does not serve");
    node.serves();
    settle().await;
    let list: Value = serde_json::from_str(&node.read(CONFLIST).unwrap()).unwrap();
    assert_eq!(list, json!({"cniVersion": "1.1.0", "name": "kuryr", "plugins": [{"type": "kuryr-cni"}]}));
    assert_eq!(node.trouble.now(), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_or_damaged_by_hand_is_repaired_within_a_minute() {
    let mut node = Node::new();
    node.serves();
    node.start();
    settle().await;
    let good = [node.read(PLUGIN), node.read(CONFLIST)];
    assert!(good.iter().all(Option::is_some));
    let damages: [(&str, Damage); 6] = [
        ("deleted", |path| fs::remove_file(path).unwrap()),
        ("emptied", |path| fs::write(path, "").unwrap()),
        ("one byte", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[3] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("longer", |path| fs::write(path, [fs::read(path).unwrap(), b"x".to_vec()].concat()).unwrap()),
        ("for all to write", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap()),
        ("a link", |path| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/nowhere", path).unwrap();
        }),
    ];
    for (name, damage) in damages {
        for file in [PLUGIN, CONFLIST] {
            damage(&node.path(file));
        }
        pass(Duration::from_secs(60)).await;
        assert_eq!([node.read(PLUGIN), node.read(CONFLIST)], good, "{name}");
        let mode = |file| fs::symlink_metadata(node.path(file)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(PLUGIN), mode(CONFLIST)), (0o755, 0o600), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_right_is_never_written_again() {
    let mut node = Node::new();
    node.serves();
    node.start();
    settle().await;
    let stamps = || {
        [PLUGIN, CONFLIST].map(|file| {
            let metadata = fs::metadata(node.path(file)).unwrap();
            (metadata.ino(), metadata.mtime_nsec(), metadata.ctime_nsec())
        })
    };
    let before = stamps();
    pass(Duration::from_secs(3600)).await;
    assert_eq!(stamps(), before);
    node.stop().await;
    node.start();
    pass(Duration::from_secs(60)).await;
    let stamps = [PLUGIN, CONFLIST].map(|file| fs::metadata(node.path(file)).unwrap().ino());
    assert_eq!(stamps, before.map(|(inode, ..)| inode), "nor by the next daemon");
}

#[tokio::test(start_paused = true)]
async fn it_is_withdrawn_when_the_daemon_cannot_serve_and_comes_back_by_itself() {
    let mut node = Node::new();
    fs::write(node.path("conf/99-other.conflist"), "theirs").unwrap();
    node.serves();
    node.start();
    settle().await;
    node.fails("Open vSwitch is down");
    pass(Duration::from_secs(9)).await;
    assert!(node.has_conflist(), "a short trouble changes nothing");
    pass(Duration::from_secs(3)).await;
    assert!(!node.has_conflist());
    assert!(node.path(PLUGIN).exists(), "running pods need it to end");
    assert_eq!(node.read("conf/99-other.conflist").as_deref(), Some("theirs"));
    node.serves();
    settle().await;
    assert!(node.has_conflist());
}

#[tokio::test(start_paused = true)]
async fn it_stays_while_the_kubernetes_api_is_away_from_everyone() {
    let mut node = Node::new();
    node.serves();
    node.start();
    settle().await;
    node.fails("the Kubernetes API does not answer");
    pass(Duration::from_secs(3600)).await;
    assert!(node.has_conflist(), "containerd needs it to end pods");
}

#[tokio::test(start_paused = true)]
async fn without_withdrawal_it_stays() {
    let mut node = Node::new();
    node.serves();
    node.start_with(Settings { withdraw_after: None, ..node.settings() });
    settle().await;
    node.fails("Open vSwitch is down");
    pass(Duration::from_secs(3600)).await;
    assert!(node.has_conflist());
}

#[tokio::test(start_paused = true)]
async fn a_restart_leaves_it_where_it_is() {
    let mut node = Node::new();
    node.serves();
    node.start();
    settle().await;
    node.stop().await;
    assert!(node.has_conflist() && node.path(PLUGIN).exists());
    // As the release before wrote it.
    fs::write(node.path(CONFLIST), "old").unwrap();
    fs::write(node.path("source"), "the newer plugin").unwrap();
    node.fails("the KuryrPorts are not read yet");
    node.start();
    pass(Duration::from_secs(5)).await;
    assert_eq!(node.read(PLUGIN).as_deref(), Some("the newer plugin"));
    assert_eq!(node.read(CONFLIST).as_deref(), Some("old"), "until the daemon serves");
    node.serves();
    settle().await;
    assert!(node.read(CONFLIST).unwrap().contains("kuryr-cni"));
}

#[tokio::test(start_paused = true)]
async fn it_is_removed_at_the_end_if_that_is_asked_for() {
    let mut node = Node::new();
    node.serves();
    node.start_with(Settings { remove_on_shutdown: true, ..node.settings() });
    settle().await;
    assert!(node.has_conflist());
    node.stop().await;
    assert!(!node.has_conflist() && node.path(PLUGIN).exists());
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_missing_is_told_with_a_cure_and_tried_again() {
    let mut node = Node::new();
    fs::remove_dir(node.path("bin")).unwrap();
    node.serves();
    node.start();
    settle().await;
    let trouble = node.trouble.now().unwrap();
    assert!(trouble.contains("cni_bin_dir") && trouble.contains("mount"), "{trouble}");
    assert!(!node.has_conflist(), "without a plugin there is no network");
    fs::create_dir(node.path("bin")).unwrap();
    pass(Duration::from_secs(16)).await;
    assert_eq!(node.trouble.now(), None);
    assert!(node.has_conflist() && node.path(PLUGIN).exists());
}

#[tokio::test(start_paused = true)]
async fn a_template_is_used_and_a_bad_one_changes_nothing() {
    let mut node = Node::new();
    let template = r#"{"cniVersion":"1.0.0","name":"kuryr","plugins":[{"type":"kuryr-cni"},{"type":"portmap"}]}"#;
    fs::write(node.path("conf/kuryr.conflist.template"), template).unwrap();
    node.serves();
    node.start();
    settle().await;
    assert_eq!(node.read(CONFLIST).as_deref(), Some(template));
    fs::write(node.path("conf/kuryr.conflist.template"), "{").unwrap();
    pass(Duration::from_secs(16)).await;
    assert_eq!(node.read(CONFLIST).as_deref(), Some(template));
    let trouble = node.trouble.now().unwrap();
    assert!(trouble.contains("kuryr.conflist.template") && trouble.contains("correct or remove it"), "{trouble}");
    // Withdrawal does not need it.
    node.fails("Open vSwitch is down");
    pass(Duration::from_secs(12)).await;
    assert!(!node.has_conflist());
}

#[test]
fn others_that_are_read_first_are_found_and_left_alone() {
    let node = Node::new();
    fs::write(node.path("conf/05-flannel.conflist"), "theirs").unwrap();
    let installer = Installer::new(node.settings(), "/run/kuryr/cni.sock".into());
    let pass = installer.bring_about(&Conflist::Present);
    assert_eq!((pass.before_ours, pass.errors), (vec!["05-flannel.conflist".to_owned()], Vec::new()));
    assert_eq!(pass.done.len(), 2, "{:?}", pass.done);
    assert_eq!(node.read("conf/05-flannel.conflist").as_deref(), Some("theirs"));
}

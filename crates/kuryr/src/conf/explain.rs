//! A configuration option by option: what becomes of each, and what is dangerous about it. `kuryr config check --explain`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;

use super::options::{self, Definition, Rule, cni_daemon, kubernetes, kuryr, neutron};
use super::{Conf, Origin, Said};

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does what it did.
    Kept,
    /// It does what it did, under a new name.
    Renamed,
    /// It belongs to a feature this version does not have.
    Later,
    /// It has no effect, rightly.
    Ignored,
    /// Its value cannot be obeyed.
    Refused,
    /// Nobody knows it.
    Unknown,
    /// The other program's.
    Elsewhere,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fate::Kept => "kept",
            Fate::Renamed => "renamed",
            Fate::Later => "later",
            Fate::Ignored => "ignored",
            Fate::Refused => "refused",
            Fate::Unknown => "unknown",
            Fate::Elsewhere => "not here",
        })
    }
}

/// One option that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explained {
    pub(crate) place: String,
    pub(crate) title: String,
    pub(crate) fate: Fate,
    /// What it is for, or why it has no effect.
    pub(crate) words: String,
    /// What is dangerous about the value, and what to do.
    pub(crate) danger: Option<String>,
}

impl Conf {
    /// Every option that was said, in the order of sections and names.
    pub(crate) fn explain(&self) -> Vec<Explained> {
        let own_section = self.find(&neutron::auth_section).map(|said| options::normal(said.value.trim()));
        self.said
            .iter()
            .map(|((group, name), said)| self.explain_one(group, name, said, own_section.as_deref()))
            .collect()
    }

    fn explain_one(&self, group: &str, name: &str, said: &Said, own_section: Option<&str>) -> Explained {
        let mut explained = Explained {
            place: said.origin.to_string(),
            title: format!("[{group}] {name}"),
            fate: Fate::Unknown,
            words: String::new(),
            danger: None,
        };
        let section = options::SECTIONS.iter().find(|(section, _)| *section == group);
        if let Some((option, _)) = options::find(group, name) {
            (explained.fate, explained.words) = self.fate(option, said);
            explained.danger = self.danger(option, said);
        } else if let Some((_, Rule::Ignored(why) | Rule::Gone(why))) = section {
            (explained.fate, explained.words) = (Fate::Ignored, (*why).to_owned());
        } else if own_section == Some(group) {
            (explained.fate, explained.words) =
                (Fate::Kept, "credentials, because [neutron] auth_section names the section".to_owned());
        } else {
            let near = options::nearest(group, name).map(|near| format!("did you mean {near}?"));
            explained.words = near.unwrap_or_else(|| "no version of Kuryr has it; remove it".to_owned());
        }
        explained
    }

    fn fate(&self, option: &Definition, said: &Said) -> (Fate, String) {
        if let (Err(error), false) = (self.value(option), matches!(option.rule, Rule::Ignored(_) | Rule::Gone(_))) {
            return (Fate::Refused, error.to_string());
        }
        let read = if option.read_by(self.program) { Fate::Kept } else { Fate::Elsewhere };
        match option.rule {
            Rule::Ignored(why) | Rule::Gone(why) => (Fate::Ignored, why.to_owned()),
            Rule::Later(feature) => (Fate::Later, format!("it belongs to {feature}: not in this version yet")),
            Rule::Honoured | Rule::Only(..) if said.former => {
                (Fate::Renamed, format!("was {}: {}", option.old.join(" or "), option.help))
            }
            Rule::Honoured | Rule::Only(..) => (read, option.help.to_owned()),
        }
    }

    /// What is dangerous about a value, if anything.
    fn danger(&self, option: &Definition, said: &Said) -> Option<String> {
        let off = |option| matches!(self.flag(option), Ok(false));
        let text = said.value.trim();
        if option == &kubernetes::ssl_verify_server_crt && off(option) {
            return Some("the token goes to whoever answers at the API server's address; remove the option and set ssl_ca_crt_file".to_owned());
        }
        if option == &neutron::insecure && !off(option) {
            return Some(
                "whoever is between us and the cloud can read the password; remove the option and set cafile"
                    .to_owned(),
            );
        }
        if option == &neutron::auth_url && text.starts_with("http://") && !local(text) {
            return Some(
                "the password crosses the network readable for everybody; use Keystone's https address".to_owned(),
            );
        }
        if option == &cni_daemon::bind_address
            && text.parse::<SocketAddr>().is_ok_and(|address| !address.ip().is_loopback())
        {
            return Some("whoever reaches this address can wire and unwire the pods of the node; use 127.0.0.1:5036, or remove the option".to_owned());
        }
        if option == &kuryr::listen_address && text.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
            return Some(
                "health and metrics are served to everybody who reaches the node; use the address Prometheus uses"
                    .to_owned(),
            );
        }
        if option.is_secret() && !text.is_empty() {
            return secret(option, &said.origin);
        }
        None
    }
}

/// Whether the address is this machine's, where nobody is in between.
fn local(url: &str) -> bool {
    let host = url.trim_start_matches("http://").split(['/', ':']).next().unwrap_or_default();
    host == "localhost" || host.starts_with("127.") || url.starts_with("http://[::1]")
}

/// A secret in a file that others can read, as a mounted ConfigMap is.
fn secret(option: &Definition, origin: &Origin) -> Option<String> {
    let Origin::File(path, _) = origin else { return None };
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        format!(
            "everybody on this machine can read the file, and who may read ConfigMaps if it comes from one; move it to a Secret as {}, or chmod o-r",
            option.variable()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::options::Reader;
    use super::super::sources::Sources;
    use super::*;

    fn explained(text: &str, mode: u32) -> Vec<Explained> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kuryr.conf");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let sources = Sources { files: vec![path], ..Sources::default() };
        Conf::read(Reader::Controller, &sources).unwrap().explain()
    }

    fn of<'a>(all: &'a [Explained], title: &str) -> &'a Explained {
        all.iter().find(|one| one.title == title).unwrap_or_else(|| panic!("{title} is not in {all:#?}"))
    }

    #[test]
    fn every_option_has_a_fate() {
        let all = explained(
            "[kubernetes]\napi_root = https://a:6443\nvif_pool_driver = neutron\nport_debug = true\npod_vif_driver = nested-vlan\n\
             daemon_enabled = true\napi_rot = x\n[neutron]\ntenant_name = k8s\n[cni_daemon]\nworker_num = 3\nvif_annotation_timeout = 9\n\
             [sriov]\nx = 1\n[nonsense]\ny = 2\n",
            0o600,
        );
        for (title, fate, words) in [
            ("[kubernetes] api_root", Fate::Kept, "API server"),
            ("[kubernetes] vif_pool_driver", Fate::Later, "pools"),
            ("[kubernetes] port_debug", Fate::Ignored, "readable names"),
            ("[kubernetes] pod_vif_driver", Fate::Refused, "pods inside virtual machines"),
            ("[kubernetes] daemon_enabled", Fate::Ignored, "always a daemon"),
            ("[kubernetes] api_rot", Fate::Unknown, "did you mean [kubernetes] api_root?"),
            ("[neutron] project_name", Fate::Renamed, "was tenant_name"),
            ("[cni_daemon] worker_num", Fate::Ignored, "tasks"),
            ("[cni_daemon] vif_annotation_timeout", Fate::Elsewhere, "Seconds ADD waits"),
            ("[sriov] x", Fate::Ignored, "SR-IOV"),
            ("[nonsense] y", Fate::Unknown, "no version"),
        ] {
            let one = of(&all, title);
            assert_eq!(one.fate, fate, "{one:#?}");
            assert!(one.words.contains(words), "{one:#?}");
            assert_eq!(one.danger, None, "{one:#?}");
        }
        assert!(of(&all, "[kubernetes] api_root").place.ends_with("kuryr.conf:2"));
    }

    #[test]
    fn what_is_dangerous_is_said_with_the_cure() {
        let dangerous = "[kubernetes]\nssl_verify_server_crt = false\n[neutron]\ninsecure = true\nauth_url = http://keystone.example/v3\n\
             password = hunter2\n[cni_daemon]\nbind_address = 0.0.0.0:5036\n[kuryr]\nlisten_address = 0.0.0.0\n";
        let all = explained(dangerous, 0o644);
        for (title, words) in [
            ("[kubernetes] ssl_verify_server_crt", "ssl_ca_crt_file"),
            ("[neutron] insecure", "cafile"),
            ("[neutron] auth_url", "https"),
            ("[neutron] password", "OS_NEUTRON__PASSWORD"),
            ("[cni_daemon] bind_address", "127.0.0.1:5036"),
            ("[kuryr] listen_address", "Prometheus"),
        ] {
            let danger = of(&all, title).danger.as_deref().unwrap_or_default();
            assert!(danger.contains(words), "{title}: {danger:?}");
        }
        assert!(!format!("{all:?}").contains("hunter2"), "secrets are never shown");
        let safe = "[kubernetes]\nssl_verify_server_crt = true\n[neutron]\ninsecure = false\nauth_url = http://127.0.0.1:5000/v3\n\
             password = hunter2\n[cni_daemon]\nbind_address = 127.0.0.1:5036\n";
        assert!(explained(safe, 0o600).iter().all(|one| one.danger.is_none()));
    }
}

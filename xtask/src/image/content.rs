//! What is in the image, file by file. Nothing else is: no shell, no libc, no package manager.

use std::collections::BTreeMap;

/// The one user besides root, for the controller.
pub(super) const USER: u32 = 65532;

/// Names by which `kuryr` is called. The first four are what manifests of kuryr-kubernetes call.
const LINKS: [&str; 6] =
    ["kuryr-controller", "kuryr-k8s-controller", "kuryr-daemon", "cni_ds_init", "kuryr-k8s-status", "kubectl-kuryr"];

/// Paths in the image, without a slash in front, sorted.
pub(super) type Files = BTreeMap<String, File>;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum File {
    /// Readable by all.
    Data(Vec<u8>),
    /// Executable by all.
    Program(Vec<u8>),
    /// A symbolic link.
    Link(&'static str),
}

/// What the files are made of.
pub(super) struct Sources {
    /// The executable of everything but the plugin.
    pub(super) kuryr: Vec<u8>,
    /// The CNI plugin.
    pub(super) plugin: Vec<u8>,
    /// Certificate authorities, PEM.
    pub(super) authorities: Vec<u8>,
}

/// The files of each layer. What changes seldom is below, so that nodes that have it need not fetch it again.
pub(super) fn layers(sources: &Sources) -> [Files; 3] {
    let data = |text: String| File::Data(text.into_bytes());
    let system = [
        ("etc/ssl/certs/ca-certificates.crt", File::Data(sources.authorities.clone())),
        ("etc/passwd", data(format!("root:x:0:0:root:/:/nonexistent\nkuryr:x:{USER}:{USER}:kuryr:/:/nonexistent\n"))),
        ("etc/group", data(format!("root:x:0:\nkuryr:x:{USER}:\n"))),
    ];
    let plugin = [("kuryr-cni", File::Program(sources.plugin.clone()))];
    let links = LINKS.iter().map(|&link| (format!("usr/bin/{link}"), File::Link("kuryr")));
    let kuryr = std::iter::once(("usr/bin/kuryr".to_owned(), File::Program(sources.kuryr.clone()))).chain(links);
    let named = |files: &mut dyn Iterator<Item = (&'static str, File)>| {
        files.map(|(path, file)| (path.to_owned(), file)).collect::<Files>()
    };
    [named(&mut system.into_iter()), named(&mut plugin.into_iter()), kuryr.collect()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_old_manifests_is_there() {
        let sources = Sources { kuryr: vec![1], plugin: vec![2], authorities: vec![3] };
        let all: Files = layers(&sources).into_iter().flatten().collect();
        for name in ["usr/bin/kuryr-k8s-controller", "usr/bin/cni_ds_init", "usr/bin/kuryr-k8s-status"] {
            assert_eq!(all[name], File::Link("kuryr"), "{name}");
        }
        assert_eq!(all["usr/bin/kuryr"], File::Program(vec![1]));
        assert_eq!(all["kuryr-cni"], File::Program(vec![2]));
        assert_eq!(all["etc/ssl/certs/ca-certificates.crt"], File::Data(vec![3]));
        let File::Data(passwd) = &all["etc/passwd"] else { panic!() };
        assert!(String::from_utf8_lossy(passwd).contains("kuryr:x:65532:65532:"));
    }
}

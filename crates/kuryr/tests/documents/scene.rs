//! What is there when a block of a document is run: a reader who comes to that place of the document has done something before.

/// What was done before a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Nothing: a cluster, a cloud, and the reader's files.
    Bare,
    /// Kuryr was installed with `kuryr install`, and a port is left over.
    Installed,
    /// The same, and a pod waits for a port.
    Troubled,
    /// Kuryr was installed with Helm.
    Helm,
    /// Kuryr was installed with the plain manifests.
    Applied,
    /// Kuryr was installed with the operator.
    Operator,
    /// kuryr-kubernetes is there.
    Legacy,
    /// Its controller has ended and its daemons were let go of.
    LegacyEnded,
    /// Kuryr took over from it.
    OverLegacy,
}

const INSTALL: &str = "kuryr install --values values.yaml --wait\n";
const END_LEGACY: &str = "kubectl -n kube-system delete deployment kuryr-controller --cascade=foreground
kubectl -n kube-system delete daemonset kuryr-cni-ds --cascade=orphan
";
const OVER_LEGACY: &str = "kubectl -n kube-system delete deployment kuryr-controller --cascade=foreground
kubectl -n kube-system delete daemonset kuryr-cni-ds --cascade=orphan
kuryr install --values values.yaml --wait
";

impl Scene {
    /// The scene a fence names.
    pub(crate) fn of(name: &str) -> Option<Scene> {
        Some(match name {
            "" => Scene::Bare,
            "installed" => Scene::Installed,
            "troubled" => Scene::Troubled,
            "helm" => Scene::Helm,
            "applied" => Scene::Applied,
            "operator" => Scene::Operator,
            "legacy" => Scene::Legacy,
            "legacy-ended" => Scene::LegacyEnded,
            "over-legacy" => Scene::OverLegacy,
            _ => return None,
        })
    }

    /// What the reader typed before.
    pub(crate) fn preparation(self) -> &'static str {
        match self {
            Scene::Bare | Scene::Legacy => "",
            Scene::Installed | Scene::Troubled => INSTALL,
            Scene::Helm => {
                "helm install kuryr deploy/helm/kuryr --namespace kube-system --values values.yaml --set apiServer.host=10.0.0.5"
            }
            Scene::Applied => "kubectl apply --server-side -f deploy/manifests/kuryr.yaml",
            Scene::Operator => {
                "kubectl apply --server-side -f deploy/operator/operator.yaml
                 kubectl -n kube-system create secret generic kuryr-cloud --from-file=cloud.conf
                 kubectl apply -f kuryr.yaml
                 kubectl wait kuryr cluster --for=condition=Available --timeout=1m"
            }
            Scene::LegacyEnded => END_LEGACY,
            Scene::OverLegacy => OVER_LEGACY,
        }
    }

    /// Whether a Neutron port is there: a pod's, or one that nobody has any more.
    pub(crate) fn has_port(self) -> bool {
        matches!(self, Scene::Installed | Scene::Troubled) || self.has_legacy()
    }

    /// Whether kuryr-kubernetes was there at first.
    pub(crate) fn has_legacy(self) -> bool {
        matches!(self, Scene::Legacy | Scene::LegacyEnded | Scene::OverLegacy)
    }
}

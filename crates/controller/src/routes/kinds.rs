//! Gateway API (`gateway.networking.k8s.io`): of each kind what is read here. Its definitions are not ours to install, so the
//! version that is served is found out.

use std::borrow::Cow;
use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::Resource;
use kube::core::DynamicResourceScope;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cache::{Key, Versioned, version_of};

/// The API group.
pub(crate) const GROUP: &str = "gateway.networking.k8s.io";
/// Name of this implementation in GatewayClasses and in the status of routes; of IngressClasses, too.
pub(crate) const CONTROLLER: &str = "openstack.org/kuryr";

/// The version of a kind that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served(pub(crate) String);

impl Default for Served {
    fn default() -> Self {
        Served("v1".to_owned())
    }
}

/// A kind of the group.
pub(crate) trait Kind: Clone + Debug + Send + Sync + 'static {
    /// What its objects wish for.
    type Spec: Clone + Debug + Default + DeserializeOwned + Send + Sync + 'static;
    /// Its name.
    const KIND: &'static str;
    /// Its name in addresses.
    const PLURAL: &'static str;
    /// Versions that are understood, the best first.
    const VERSIONS: &'static [&'static str];
}

/// An object of a kind of the group.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "K: Kind")]
pub(crate) struct Object<K: Kind> {
    #[serde(default)]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: K::Spec,
    /// What is said of it, by us and by others.
    #[serde(default)]
    pub(crate) status: Value,
}

impl<K: Kind> Resource for Object<K> {
    type DynamicType = Served;
    type Scope = DynamicResourceScope;

    fn kind(_: &Served) -> Cow<'_, str> {
        K::KIND.into()
    }

    fn group(_: &Served) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version(served: &Served) -> Cow<'_, str> {
        served.0.as_str().into()
    }

    fn plural(_: &Served) -> Cow<'_, str> {
        K::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $name:literal, $plural:literal, $versions:expr, $spec:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(crate) enum $kind {}

        impl Kind for $kind {
            type Spec = $spec;
            const KIND: &'static str = $name;
            const PLURAL: &'static str = $plural;
            const VERSIONS: &'static [&'static str] = &$versions;
        }
    )*};
}

kinds! {
    /// Who implements Gateways.
    GatewayClass, "GatewayClass", "gatewayclasses", ["v1"], GatewayClassSpec;
    /// What listens.
    Gateway, "Gateway", "gateways", ["v1"], GatewaySpec;
    /// Where HTTP requests go.
    HttpRoute, "HTTPRoute", "httproutes", ["v1"], RouteSpec;
    /// Where TCP connections go. `v1` since Gateway API 1.6.
    TcpRoute, "TCPRoute", "tcproutes", ["v1", "v1alpha2"], RouteSpec;
    /// Where datagrams go. `v1` since Gateway API 1.6.
    UdpRoute, "UDPRoute", "udproutes", ["v1", "v1alpha2"], RouteSpec;
    /// Which other namespaces may refer to what.
    ReferenceGrant, "ReferenceGrant", "referencegrants", ["v1", "v1beta1"], ReferenceGrantSpec;
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GatewayClassSpec {
    pub(crate) controller_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GatewaySpec {
    pub(crate) gateway_class_name: String,
    pub(crate) listeners: Vec<GatewayListener>,
    /// Addresses that are asked for.
    pub(crate) addresses: Vec<Value>,
}

/// A listener of a Gateway.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GatewayListener {
    pub(crate) name: String,
    pub(crate) hostname: Option<String>,
    pub(crate) port: u16,
    pub(crate) protocol: String,
    pub(crate) allowed_routes: AllowedRoutes,
}

/// Which routes a listener takes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AllowedRoutes {
    pub(crate) namespaces: RouteNamespaces,
    pub(crate) kinds: Vec<GroupKind>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RouteNamespaces {
    /// `Same`, which is the default, `All`, `Selector`, `None`.
    pub(crate) from: Option<String>,
    pub(crate) selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GroupKind {
    pub(crate) group: Option<String>,
    pub(crate) kind: String,
}

/// What routes wish for. Those of TCP and UDP have no hostnames and no matches.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RouteSpec {
    pub(crate) parent_refs: Vec<ParentRef>,
    pub(crate) hostnames: Vec<String>,
    pub(crate) rules: Vec<RouteRule>,
}

/// The Gateway, or one of its listeners, that a route is to be part of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ParentRef {
    pub(crate) group: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) section_name: Option<String>,
    pub(crate) port: Option<u16>,
}

impl ParentRef {
    /// The Gateway it means, said by an object of `namespace`.
    pub(crate) fn gateway(&self, namespace: &str) -> Option<Key> {
        let is_gateway = self.group.as_deref().unwrap_or(GROUP) == GROUP
            && self.kind.as_deref().unwrap_or(Gateway::KIND) == Gateway::KIND;
        let namespace = self.namespace.as_deref().unwrap_or(namespace).to_owned();
        is_gateway.then(|| Key { namespace, name: self.name.clone() })
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RouteRule {
    pub(crate) matches: Vec<HttpMatch>,
    pub(crate) filters: Vec<Value>,
    pub(crate) backend_refs: Vec<BackendRef>,
    /// What Octavia has nothing for.
    pub(crate) timeouts: Option<Value>,
    pub(crate) retry: Option<Value>,
    pub(crate) session_persistence: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HttpMatch {
    pub(crate) path: Option<PathMatch>,
    pub(crate) headers: Vec<HeaderMatch>,
    pub(crate) query_params: Vec<Value>,
    pub(crate) method: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PathMatch {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) value: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HeaderMatch {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BackendRef {
    pub(crate) group: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
    pub(crate) weight: Option<u32>,
    pub(crate) filters: Vec<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ReferenceGrantSpec {
    pub(crate) from: Vec<GrantedFrom>,
    pub(crate) to: Vec<GrantedTo>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GrantedFrom {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GrantedTo {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
}

/// Of which kind a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum RouteKind {
    Http,
    Tcp,
    Udp,
}

impl RouteKind {
    /// Its name in Kubernetes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            RouteKind::Http => HttpRoute::KIND,
            RouteKind::Tcp => TcpRoute::KIND,
            RouteKind::Udp => UdpRoute::KIND,
        }
    }
}

/// A route of any kind.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) kind: RouteKind,
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) version: u64,
    pub(crate) generation: i64,
    pub(crate) created: Timestamp,
    pub(crate) spec: RouteSpec,
    pub(crate) status: Value,
    /// `metadata.resourceVersion`, as it is written.
    pub(crate) resource_version: String,
}

impl Route {
    pub(crate) fn read<K: Kind<Spec = RouteSpec>>(kind: RouteKind, object: Object<K>) -> Route {
        let key = Key::of(&object);
        let version = version_of(&object);
        let Object { metadata, spec, status } = object;
        Route {
            kind,
            key,
            version,
            uid: metadata.uid.unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp.map(|time| time.0).unwrap_or_default(),
            spec,
            status,
            resource_version: metadata.resource_version.unwrap_or_default(),
        }
    }
}

impl Versioned for Route {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> u64 {
        self.version
    }
}

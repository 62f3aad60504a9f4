//! One request, read and checked.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::checkpoint::AttachmentId;
use crate::error::{CniError, code};
use crate::ports::PodKey;
use crate::protocol::Request;

/// The attachment and the pod a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// `CNI_CONTAINERID` and `CNI_IFNAME`.
    pub(crate) id: AttachmentId,
    /// `CNI_NETNS`; none if it was empty: then nothing may be opened.
    pub(crate) netns: Option<Netns>,
    /// `K8S_POD_NAMESPACE`, `K8S_POD_NAME` of `CNI_ARGS`.
    pub(crate) pod: Option<PodKey>,
    /// `K8S_POD_UID` of `CNI_ARGS`; older runtimes do not send it.
    pub(crate) pod_uid: Option<String>,
    /// The network configuration.
    pub(crate) config: Value,
    /// A daemon that has ended had this request and did not answer it.
    pub(crate) repeated: bool,
}

/// A namespace file, under the names of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Netns {
    /// As the runtime says it, for the result.
    pub(crate) given: PathBuf,
    /// As this daemon opens it.
    pub(crate) path: PathBuf,
}

impl Call {
    /// Reads a request. `proc_dir` replaces a leading `/proc` of the namespace's path.
    ///
    /// # Errors
    /// Code 4, naming the variable.
    pub(crate) fn read(request: &Request, proc_dir: Option<&Path>) -> Result<Self, CniError> {
        let id = AttachmentId { container_id: request.container_id.clone(), ifname: request.ifname.clone() };
        // Both become part of a file name.
        if !is_container_id(&id.container_id) {
            return Err(CniError::new(
                code::ENVIRONMENT,
                format!("CNI_CONTAINERID {:?} is not a container id", id.container_id),
            ));
        }
        if !is_ifname(&id.ifname) {
            return Err(CniError::new(
                code::ENVIRONMENT,
                format!("CNI_IFNAME {:?} is not an interface name", id.ifname),
            ));
        }
        let argument = |key: &str| {
            let items = request.args.split(';').filter_map(|item| item.split_once('='));
            items
                .filter(|(found, value)| *found == key && !value.is_empty())
                .map(|(_, value)| value.to_owned())
                .next_back()
        };
        let pod = argument("K8S_POD_NAMESPACE")
            .zip(argument("K8S_POD_NAME"))
            .map(|(namespace, name)| PodKey { namespace, name });
        // Both become part of an address of the API server.
        if let Some(PodKey { namespace, name }) =
            pod.as_ref().filter(|pod| !is_dns(&pod.namespace) || !is_dns(&pod.name))
        {
            return Err(CniError::new(
                code::ENVIRONMENT,
                format!(
                    "CNI_ARGS: K8S_POD_NAMESPACE {namespace:?} and K8S_POD_NAME {name:?} are not both names of Kubernetes"
                ),
            ));
        }
        Ok(Self {
            id,
            netns: Some(&request.netns).filter(|path| !path.is_empty()).map(|path| Netns::new(path, proc_dir)),
            pod,
            pod_uid: argument("K8S_POD_UID"),
            config: request.config.clone(),
            repeated: request.repeated,
        })
    }

    /// `cniVersion` of the configuration.
    pub(crate) fn version(&self) -> &str {
        self.config["cniVersion"].as_str().unwrap_or("0.1.0")
    }

    /// Name of the network configuration.
    pub(crate) fn network(&self) -> &str {
        self.config["name"].as_str().unwrap_or_default()
    }

    /// The pod, which ADD cannot do without.
    ///
    /// # Errors
    /// Code 4.
    pub(crate) fn need_pod(&self) -> Result<&PodKey, CniError> {
        self.pod.as_ref().ok_or_else(|| {
            CniError::new(
                code::ENVIRONMENT,
                "CNI_ARGS must name the pod: K8S_POD_NAMESPACE=…;K8S_POD_NAME=… (Kubernetes runtimes do; with cnitool set it by hand)",
            )
        })
    }

    /// The namespace, which ADD cannot do without.
    ///
    /// # Errors
    /// Code 4.
    pub(crate) fn need_netns(&self) -> Result<&Netns, CniError> {
        self.netns.as_ref().ok_or_else(|| CniError::new(code::ENVIRONMENT, "CNI_NETNS is missing"))
    }
}

impl Netns {
    fn new(given: &str, proc_dir: Option<&Path>) -> Self {
        let given = PathBuf::from(given);
        let path = match (proc_dir, given.strip_prefix("/proc")) {
            (Some(proc_dir), Ok(rest)) => proc_dir.join(rest),
            _ => given.clone(),
        };
        Self { given, path }
    }
}

fn is_container_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// A name of DNS (RFC 1123), as pods and namespaces have.
fn is_dns(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_ifname(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && !matches!(text, "." | "..")
        && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(args: &str) -> Request {
        Request { container_id: "c1".into(), ifname: "eth0".into(), args: args.into(), ..Request::default() }
    }

    #[test]
    fn arguments_come_in_any_order_with_strangers_and_equal_signs() {
        let args = "X=a=b;K8S_POD_NAME=p;IgnoreUnknown=1;junk;;K8S_POD_UID=u=1;K8S_POD_NAMESPACE=ns";
        let call = Call::read(&request(args), None).unwrap();
        assert_eq!(call.pod, Some(PodKey { namespace: "ns".into(), name: "p".into() }));
        assert_eq!(call.pod_uid.as_deref(), Some("u=1"));
    }

    #[test]
    fn without_arguments_the_pod_is_unknown_and_said_so() {
        let call = Call::read(&request(""), None).unwrap();
        let error = call.need_pod().unwrap_err();
        assert_eq!(error.code, code::ENVIRONMENT);
        assert!(error.msg.contains("K8S_POD_NAME"), "{error}");
    }

    #[test]
    fn names_that_would_leave_the_state_directory_are_refused() {
        for (container_id, ifname) in [("../x", "eth0"), ("", "eth0"), ("c/1", "eth0"), ("c1", "../eth0"), ("c1", "..")]
        {
            let request = Request { container_id: container_id.into(), ifname: ifname.into(), ..Request::default() };
            assert_eq!(Call::read(&request, None).unwrap_err().code, code::ENVIRONMENT, "{container_id} {ifname}");
        }
    }

    #[test]
    fn names_that_would_be_another_address_of_the_api_are_refused() {
        for (namespace, name) in
            [("..", "p"), ("ns", "../../nodes/n1"), ("a/b", "p"), ("ns", "p?x=y"), ("ns", "P"), ("ns", "p%2f")]
        {
            let args = format!("K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name}");
            let error = Call::read(&request(&args), None).unwrap_err();
            assert_eq!(error.code, code::ENVIRONMENT, "{args}");
            assert!(error.msg.contains("CNI_ARGS"), "{error}");
        }
        let call = Call::read(&request("K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=web-0.a"), None).unwrap();
        assert!(call.pod.is_some());
    }

    #[test]
    fn only_a_leading_proc_is_replaced() {
        let netns = Netns::new("/proc/12/ns/net", Some(Path::new("/host_proc")));
        assert_eq!(
            (netns.path.to_str(), netns.given.to_str()),
            (Some("/host_proc/12/ns/net"), Some("/proc/12/ns/net"))
        );
        let netns = Netns::new("/run/proc/x", Some(Path::new("/host_proc")));
        assert_eq!(netns.path, Path::new("/run/proc/x"));
    }
}

//! Errors of the watch as one line with a cure. Errors of `kube` repeat what lies beneath them, and the reason, a refused
//! connection or a certificate, lies deepest.

use std::error::Error;

use kube::runtime::watcher::Error as Watch;

/// Everything the watch's error and its causes say, each thing once, and what to do about it.
pub(crate) fn watch(error: &Watch, server: &str) -> String {
    let (code, line) = match error {
        Watch::InitialListFailed(kube::Error::Api(status))
        | Watch::WatchStartFailed(kube::Error::Api(status))
        | Watch::WatchFailed(kube::Error::Api(status))
        | Watch::WatchError(status) => (status.code, status.message.clone()),
        _ => (0, chain(error)),
    };
    let cure = match code {
        401 => "it does not know us: check [kubernetes] token_file or ssl_client_crt_file",
        403 => "give the ServiceAccount kuryr-cni its ClusterRole (kuryr install does)",
        404 => "install the resource definitions: kuryr crds | kubectl apply -f -",
        410 => "nothing to do: everything is listed anew",
        0 if line.contains("certificate") => "check [kubernetes] ssl_ca_crt_file against its certificate",
        0 => "check [kubernetes] api_root, and the way to it from this node",
        _ => "see its log if this lasts",
    };
    format!("the API server {server}: {line}; {cure}")
}

/// The whole chain of an error. What a deeper error says is not said above it as well.
fn chain(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<String> =
        std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).collect();
    once(&texts)
}

fn once(texts: &[String]) -> String {
    let mut line = String::new();
    for (place, text) in texts.iter().enumerate() {
        let below = texts.get(place + 1).map_or("", String::as_str);
        let own = text.strip_suffix(below).filter(|_| !below.is_empty()).unwrap_or(text).trim_end_matches([':', ' ']);
        // `kube` names its layers; that says nothing to anybody.
        if own.is_empty() || ["ServiceError", "HyperError"].contains(&own) || line.contains(own) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(own);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_told_once_with_a_cure() {
        let texts =
            ["list failed: ServiceError: client error", "ServiceError: client error", "client error", "refused"];
        assert_eq!(once(&texts.map(str::to_owned)), "list failed: client error: refused");
        let status = kube::core::Status::failure("kuryrports is forbidden", "Forbidden").with_code(403);
        let error = Watch::InitialListFailed(kube::Error::Api(Box::new(status)));
        let told = watch(&error, "https://10.0.0.1:6443/");
        assert!(told.starts_with("the API server https://10.0.0.1:6443/: kuryrports is forbidden; give"), "{told}");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let told = watch(&Watch::WatchFailed(kube::Error::Service(refused.into())), "https://a");
        assert!(told.contains("connection refused; check [kubernetes] api_root"), "{told}");
        assert_eq!(told.matches("connection refused").count(), 1, "{told}");
    }
}

//! Errors of others as one line: everything in their chain, each thing once. Errors of `kube` repeat what lies beneath them, and
//! the reason, a refused connection or a certificate, lies deepest.

use std::error::Error;

/// The whole chain of an error in one line. What a deeper error says is not said above it as well.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    once(&std::iter::successors(Some(error), |&error| error.source()).map(layer).collect::<Vec<_>>())
}

/// The same for an error with any number of sentences about it, the outermost first.
pub fn chain_of<'a>(errors: impl Iterator<Item = &'a (dyn Error + 'static)>) -> String {
    once(&errors.map(layer).collect::<Vec<_>>())
}

/// An error's own text, and what is shown instead of it.
struct Layer {
    whole: String,
    shown: String,
}

fn layer(error: &(dyn Error + 'static)) -> Layer {
    let whole = error.to_string();
    let shown = match error.downcast_ref::<kube::Error>() {
        // The text of an answer has it twice, once as Rust shows it.
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => whole.clone(),
    };
    Layer { whole, shown }
}

/// Joins layers from the outermost to the innermost, each without what follows it.
fn once(layers: &[Layer]) -> String {
    // Beneath an answer there is only the answer again.
    let answer = layers.iter().position(|layer| layer.whole != layer.shown);
    let layers = &layers[..answer.map_or(layers.len(), |place| place + 1)];
    let mut line = String::new();
    for (place, layer) in layers.iter().enumerate() {
        let below = layers.get(place + 1).map_or("", |below| below.whole.as_str());
        let above = layer.whole.strip_suffix(below).filter(|_| !below.is_empty() && layer.whole == layer.shown);
        let own = above.map_or(layer.shown.as_str(), |own| own.trim_end_matches([':', ' ']));
        // `kube` names its layers; that says nothing to anybody.
        if own.is_empty() || ["ServiceError", "HyperError", "ApiError"].contains(&own) || line.contains(own) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(own);
    }
    line
}

/// What to do about an API server that does not let us watch, by the chain of the error and its status, if it has one.
#[must_use]
pub fn cure_of_watch(error: &kube::runtime::watcher::Error, line: &str) -> &'static str {
    use kube::runtime::watcher::Error as Watch;
    let code = match error {
        Watch::InitialListFailed(kube::Error::Api(status))
        | Watch::WatchStartFailed(kube::Error::Api(status))
        | Watch::WatchFailed(kube::Error::Api(status))
        | Watch::WatchError(status) => status.code,
        _ => 0,
    };
    match code {
        401 => "the API server does not know us: check [kubernetes] token_file or ssl_client_crt_file",
        403 => "give the ServiceAccount kuryr-controller its ClusterRole (kuryr install does)",
        404 => "install the resource definitions: kuryr crds | kubectl apply -f -",
        410 => "nothing to do: everything is listed anew",
        0 if line.contains("certificate") => "check [kubernetes] ssl_ca_crt_file against the API server's certificate",
        0 => "check [kubernetes] api_root, and the way to it from here",
        _ => "see the API server's log if this lasts",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> String {
        let layer = |text: &&str| Layer { whole: (*text).to_owned(), shown: (*text).to_owned() };
        once(&texts.iter().map(layer).collect::<Vec<_>>())
    }

    #[test]
    fn nothing_is_said_twice() {
        let deep = "Connection refused (os error 111)";
        assert_eq!(
            of(&[
                "failed to list: ServiceError: client error (Connect)",
                "ServiceError: client error (Connect)",
                "client error (Connect)",
                deep
            ]),
            "failed to list: client error (Connect): Connection refused (os error 111)"
        );
        assert_eq!(of(&["x: y", "y"]), "x: y");
        assert_eq!(of(&["x", "x"]), "x");
        assert_eq!(of(&["no client", "x is bad; mend it", "x"]), "no client: x is bad; mend it");
    }

    #[test]
    fn an_answer_is_its_message() {
        let status = kube::core::Status::failure("pods is forbidden", "Forbidden").with_code(403);
        let error = kube::runtime::watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)));
        let line = chain(&error);
        assert!(line.ends_with("pods is forbidden") && line.matches("forbidden").count() == 1, "{line}");
        assert!(!line.contains("Status {"), "{line}");
        assert!(cure_of_watch(&error, &line).contains("ClusterRole"));
    }
}

//! The CNI configuration: what it says, and which others would be read instead of it.

use std::path::Path;

use serde_json::{Value, json};

/// Its file, as kuryr-kubernetes called it: runtimes read the first name of a folder.
pub(crate) const NAME: &str = "10-kuryr.conflist";
/// The administrator's own version of it, in the same folder, as in kuryr-kubernetes. Runtimes do not read this name.
pub(crate) const TEMPLATE: &str = "kuryr.conflist.template";
/// Where kuryr-cni looks for the daemon by itself.
const DEFAULT_SOCKET: &str = "/run/kuryr/cni.sock";
/// What kuryr-cni speaks.
const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// What runtimes read.
const EXTENSIONS: [&str; 3] = ["conf", "conflist", "json"];

/// The file's content: the template if there is one, else our own; where the daemon does not listen where kuryr-cni looks
/// for it, with its socket.
///
/// # Errors
/// What is wrong with the template.
pub(crate) fn content(template: Option<&[u8]>, socket: &Path) -> Result<Vec<u8>, String> {
    let mut list = match template {
        Some(bytes) => read(bytes)?,
        None => json!({"cniVersion": "1.1.0", "name": "kuryr", "plugins": [{"type": "kuryr-cni"}]}),
    };
    let changed = socket != Path::new(DEFAULT_SOCKET) && name_socket(&mut list, socket);
    match template {
        // As its author wrote it.
        Some(bytes) if !changed => Ok(bytes.to_owned()),
        _ => {
            let mut bytes = serde_json::to_vec_pretty(&list).map_err(|error| error.to_string())?;
            bytes.push(b'\n');
            Ok(bytes)
        }
    }
}

fn is_ours(plugin: &Value) -> bool {
    plugin["type"] == "kuryr-cni"
}

/// Says it to our plugin, unless somebody has.
fn name_socket(list: &mut Value, socket: &Path) -> bool {
    let plugins = list["plugins"].as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
    let mut changed = false;
    for plugin in plugins.iter_mut().filter(|plugin| is_ours(plugin)) {
        if plugin.get("daemon_socket").is_none() {
            plugin["daemon_socket"] = json!(socket);
            changed = true;
        }
    }
    changed
}

/// A runtime that finds a file it cannot read takes no other either, so nothing of that kind is put before it.
fn read(template: &[u8]) -> Result<Value, String> {
    let list: Value = serde_json::from_slice(template).map_err(|error| format!("it is not JSON: {error}"))?;
    if !list.is_object() {
        return Err("it is not a JSON object".to_owned());
    }
    let version = list["cniVersion"].as_str().unwrap_or_default();
    if !VERSIONS.contains(&version) {
        return Err(format!("\"cniVersion\" is {}, but must be one of {}", list["cniVersion"], VERSIONS.join(", ")));
    }
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
    };
    if !list["name"].as_str().is_some_and(is_name) {
        return Err(format!(
            "\"name\" is {}, but must be letters, digits, '_', '.' and '-'; \"kuryr\" keeps the runtime's records of running pods",
            list["name"]
        ));
    }
    let plugins = list["plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(nameless) = plugins.iter().find(|plugin| !plugin["type"].is_string()) {
        return Err(format!("\"plugins\" has an entry without \"type\": {nameless}"));
    }
    if !plugins.iter().any(is_ours) {
        return Err("\"plugins\" must be a list with {\"type\": \"kuryr-cni\"} in it".to_owned());
    }
    Ok(list)
}

/// The configurations of others that a runtime reads instead of ours, in its order.
pub(crate) fn before_ours(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let is_read = |name: &String| name.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.contains(&extension));
    let mut names: Vec<String> = names.into_iter().filter(|name| is_read(name) && name.as_str() < NAME).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(template: Option<&str>, socket: &str) -> Result<Value, String> {
        let bytes = content(template.map(str::as_bytes), Path::new(socket))?;
        Ok(serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn ours_names_the_socket_only_where_it_must() {
        let expected = json!({"cniVersion": "1.1.0", "name": "kuryr", "plugins": [{"type": "kuryr-cni"}]});
        assert_eq!(made(None, DEFAULT_SOCKET).unwrap(), expected);
        let list = made(None, "/elsewhere/cni.sock").unwrap();
        assert_eq!(list["plugins"], json!([{"type": "kuryr-cni", "daemon_socket": "/elsewhere/cni.sock"}]));
    }

    #[test]
    fn a_template_is_taken_as_it_is() {
        // As kuryr-kubernetes shipped it, with a plugin the administrator added.
        let template = "{ \"name\": \"kuryr\", \"cniVersion\": \"0.3.1\",\n  \"plugins\": [ {\"type\": \"kuryr-cni\",\
            \"kuryr_conf\": \"/etc/kuryr/kuryr.conf\", \"debug\": true}, {\"type\": \"portmap\"} ] }";
        let bytes = content(Some(template.as_bytes()), Path::new(DEFAULT_SOCKET)).unwrap();
        assert_eq!(bytes, template.as_bytes(), "to the byte");
        let list = made(Some(template), "/elsewhere/cni.sock").unwrap();
        assert_eq!(list["plugins"][0]["daemon_socket"], "/elsewhere/cni.sock");
        assert_eq!((&list["plugins"][0]["debug"], list["plugins"][1].get("daemon_socket")), (&json!(true), None));
        let own = r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"kuryr-cni","daemon_socket":"/mine"}]}"#;
        assert_eq!(content(Some(own.as_bytes()), Path::new("/x")).unwrap(), own.as_bytes(), "somebody knows better");
    }

    #[test]
    fn a_template_no_runtime_could_use_is_refused_with_the_reason() {
        for (template, word) in [
            ("", "not JSON"),
            ("[]", "not a JSON object"),
            (r#"{"name":"kuryr","plugins":[{"type":"kuryr-cni"}]}"#, "cniVersion"),
            (r#"{"cniVersion":"9.0.0","name":"kuryr","plugins":[{"type":"kuryr-cni"}]}"#, "9.0.0"),
            (r#"{"cniVersion":"1.0.0","plugins":[{"type":"kuryr-cni"}]}"#, "name"),
            (r#"{"cniVersion":"1.0.0","name":"a b","plugins":[{"type":"kuryr-cni"}]}"#, "a b"),
            (r#"{"cniVersion":"1.0.0","name":"kuryr","type":"kuryr-cni"}"#, "plugins"),
            (r#"{"cniVersion":"1.0.0","name":"kuryr","plugins":[{"type":"calico"}]}"#, "kuryr-cni"),
            (r#"{"cniVersion":"1.0.0","name":"kuryr","plugins":[{"type":"kuryr-cni"},{}]}"#, "type"),
        ] {
            let reason = made(Some(template), DEFAULT_SOCKET).unwrap_err();
            assert!(reason.contains(word), "{template}: {reason}");
        }
    }

    #[test]
    fn only_what_a_runtime_reads_first_is_before_ours() {
        let names = ["10-kuryr.conf", "05-cilium.conflist", "00-multus.conf", "1.json", NAME, "87-podman.conflist"];
        let more = ["05-old.conflist.bak", "README", ".10-kuryr.conflist.new-1-2", TEMPLATE];
        let found = before_ours(names.into_iter().chain(more).map(str::to_owned));
        assert_eq!(found, ["00-multus.conf", "05-cilium.conflist", "1.json", "10-kuryr.conf"]);
    }
}

//! Kubeconfigs, read so that nothing of what is in them gets into an error: the words of a YAML parser quote the lines around
//! a mistake, and those are tokens and keys. A file and the number of a line say enough.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use kube::Config;
use kube::client::AuthError;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

/// The files kubectl would read: those KUBECONFIG names, or `~/.kube/config` if it is there.
pub(crate) fn usual() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(named) = variable("KUBECONFIG") {
        return std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()).collect();
    }
    let home = variable("HOME").map(|home| Path::new(&home).join(".kube/config"));
    home.into_iter().filter(|path| path.exists()).collect()
}

/// How to reach the cluster of a context of these files, or of the current one. The first file that says something wins.
///
/// # Errors
/// No file, one that cannot be read or is not in the format, a context that is not there or lacks something.
pub(crate) async fn config(files: &[PathBuf], context: Option<&str>) -> Result<Config> {
    let mut whole = Kubeconfig::default();
    if files.is_empty() {
        bail!("there is no kubeconfig: KUBECONFIG is not set and there is no ~/.kube/config");
    }
    for file in files {
        let read = Kubeconfig::read_from(file).and_then(|read| std::mem::take(&mut whole).merge(read));
        whole = read.map_err(|error| anyhow!("the kubeconfig {}: {}", file.display(), told(&error)))?;
    }
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let title = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let config = Config::from_custom_kubeconfig(whole, &options)
        .await
        .map_err(|error| anyhow!("the kubeconfig {title}: {}", told(&error)))?;
    if config.cluster_url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        bail!(
            "the kubeconfig {title}: the cluster's server has a user in front of its @ (not shown); name the user under users"
        );
    }
    Ok(config)
}

/// What is wrong, without anything that may be secret.
fn told(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => {
            let line = error.location().map(|at| format!("line {}: ", at.line())).unwrap_or_default();
            format!(
                "{line}it is not in the format of a kubeconfig (the line is not shown, it may hold a secret); correct it"
            )
        }
        KubeconfigError::ReadConfig(error, _) => {
            format!("it cannot be read ({error}); check the path and its permissions")
        }
        KubeconfigError::CurrentContextNotSet => {
            "it has no current context; name one (`kubectl config get-contexts` lists them)".to_owned()
        }
        KubeconfigError::LoadContext(name) => {
            format!("it has no context {name}; `kubectl config get-contexts` lists them")
        }
        other => other.to_string(),
    }
}

/// Why no client could be made or no answer came, without the credentials a plugin wrote.
pub(crate) fn no_client(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Auth(AuthError::AuthExecParse(_)) => anyhow!(
            "the kubeconfig's exec plugin wrote something that is no ExecCredential (not shown, it may hold a token); run the plugin by hand"
        ),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(text: &str, context: Option<&str>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        std::fs::write(&file, text).unwrap();
        let error = format!("{:#}", config(std::slice::from_ref(&file), context).await.unwrap_err());
        assert!(error.contains(file.to_str().unwrap()), "{error}");
        error
    }

    const CLUSTER: &str = "clusters: [{name: c, cluster: {server: 'https://10.0.0.1:6443'}}]\n";

    #[tokio::test]
    async fn a_broken_file_is_told_by_its_line_and_shows_nothing() {
        let broken = "apiVersion: v1\nusers:\n- name: admin\n  user:\n    token: hunter2\n   password: s3cret\n";
        let error = refused(broken, None).await;
        assert!(error.contains("line ") && error.contains("not in the format"), "{error}");
        for secret in ["hunter2", "s3cret", "token", "password"] {
            assert!(!error.contains(secret), "{error}");
        }
        let wrong_type = "users:\n- name: admin\n  user:\n    token: [hunter2]\n";
        let error = refused(wrong_type, None).await;
        assert!(error.contains("line ") && !error.contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn contexts_and_addresses_that_cannot_be_used_are_told() {
        let error = refused(CLUSTER, Some("nope")).await;
        assert!(error.contains("no context nope; `kubectl config get-contexts`"), "{error}");
        assert!(refused(CLUSTER, None).await.contains("no current context"));
        let text = "clusters: [{name: c, cluster: {server: 'https://me:hunter2@10.0.0.1'}}]\n\
                    contexts: [{name: x, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\ncurrent-context: x\n";
        let error = refused(text, None).await;
        assert!(error.contains("@ (not shown)") && !error.contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_named_once() {
        let error = format!("{:#}", config(&["/no/kubeconfig".into()], None).await.unwrap_err());
        assert_eq!(error.matches("/no/kubeconfig").count(), 1, "{error}");
        assert!(error.contains("it cannot be read"), "{error}");
    }
}

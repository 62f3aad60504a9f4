//! `[kubernetes]` → how to reach the API server.

use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::options::{Definition, kubernetes};
use super::{Conf, ConfError};
use crate::kubeconfig;

/// Environment of a pod: where its cluster's API server is.
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
const SERVICE_PORT: [&str; 2] = ["KUBERNETES_SERVICE_PORT_HTTPS", "KUBERNETES_SERVICE_PORT"];

/// Least time the API server may be silent: a watch with nothing to tell is ended by the server after 290 s, not before.
const SILENCE: Duration = Duration::from_secs(300);

/// A variable of the environment.
pub(crate) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Conf {
    /// How to reach the API server.
    ///
    /// # Errors
    /// Options that contradict each other, files that are not there, an address that is none.
    pub(crate) async fn cluster(&self, variable: Variable<'_>) -> Result<kube::Config, ConfError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut config = match self.text(&kubernetes::api_root)? {
            Some(root) if root.trim().is_empty() => self.given(&service(&variable)?, SERVICE_HOST)?,
            Some(root) => self.given(root.trim(), "[kubernetes] api_root")?,
            None if variable("KUBECONFIG").is_some() => kubeconfig().await?,
            None => {
                let root = variable("K8S_API").unwrap_or_else(|| "https://localhost:6443".to_owned());
                self.given(&root, "K8S_API, the default of [kubernetes] api_root")?
            }
        };
        config.connect_timeout = Some(self.seconds(&kubernetes::watch_connection_timeout)?);
        config.read_timeout = Some(self.seconds(&kubernetes::watch_read_timeout)?.max(SILENCE));
        config.reset_reader_on_write = true;
        Ok(config)
    }

    /// The options' credentials and certificates for this address.
    fn given(&self, root: &str, from: &str) -> Result<kube::Config, ConfError> {
        let user = root.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
        if user.is_some_and(|authority| authority.contains('@')) {
            return Err(ConfError::Unusable(format!(
                "{from} has a user in front of its @ (not shown); take it out, and set token_file or ssl_client_crt_file"
            )));
        }
        let address = root.parse::<http::Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        let Some(address) = address else {
            return Err(ConfError::Unusable(format!(
                "{from}: {root:?} is no address; write it like https://10.0.0.1:6443"
            )));
        };
        let tls = address.scheme_str() == Some("https");
        let mut config = kube::Config::new(address);
        if let Some(file) = self.file(&kubernetes::token_file, "set it to \"\" to use a client certificate")? {
            config.auth_info.token_file = Some(file);
        } else if let Some(certificate) = self.pem(&kubernetes::ssl_client_crt_file, "", Pem::Certificates)? {
            let key = self.pem(&kubernetes::ssl_client_key_file, "", Pem::Key)?;
            if key.is_none() {
                let cure = "it belongs to ssl_client_crt_file".to_owned();
                return Err(ConfError::Missing { title: kubernetes::ssl_client_key_file.title(), cure });
            }
            config.auth_info.client_certificate = Some(certificate);
            config.auth_info.client_key = key;
        }
        config.accept_invalid_certs = !self.flag(&kubernetes::ssl_verify_server_crt)?;
        if tls && !config.accept_invalid_certs {
            let cure = "set it to \"\" if a well-known authority signed the API server's certificate";
            config.root_cert_file = self.pem(&kubernetes::ssl_ca_crt_file, cure, Pem::Certificates)?.map(Into::into);
        }
        Ok(config)
    }

    /// A file that must have this in it; `None` if the option is empty. Errors show nothing of a key.
    fn pem(&self, option: &Definition, cure: &str, what: Pem) -> Result<Option<String>, ConfError> {
        let Some(path) = self.file(option, cure)? else { return Ok(None) };
        let trouble = match what {
            Pem::Certificates => {
                let read = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                let any = read.is_ok_and(|certificates| !certificates.is_empty());
                (!any).then_some("there is no certificate in it; give a PEM file with BEGIN CERTIFICATE blocks")
            }
            Pem::Key => {
                let any = PrivateKeyDer::from_pem_file(&path).is_ok();
                (!any).then_some("there is no private key in it; give the PEM file with the key of ssl_client_crt_file")
            }
        };
        trouble.map_or(Ok(Some(path.clone())), |trouble| Err(self.refuse(option, &path, trouble)))
    }

    /// A file that must exist; `None` if the option is empty.
    fn file(&self, option: &Definition, cure: &str) -> Result<Option<String>, ConfError> {
        let Some(path) = self.some_text(option)? else { return Ok(None) };
        match std::fs::File::open(&path) {
            Ok(_) => Ok(Some(path)),
            Err(error) => {
                let cure = if cure.is_empty() {
                    "correct the path".to_owned()
                } else {
                    format!("correct the path, or {cure}")
                };
                Err(self.refuse(option, &path, &format!("it cannot be read ({error}); {cure}")))
            }
        }
    }
}

/// What a file in PEM must have.
#[derive(Clone, Copy)]
enum Pem {
    Certificates,
    Key,
}

/// The API server as pods see it.
fn service(variable: Variable<'_>) -> Result<String, ConfError> {
    let port = SERVICE_PORT.iter().find_map(|name| variable(name));
    let (Some(host), Some(port)) = (variable(SERVICE_HOST), port) else {
        return Err(ConfError::NotHere(format!(
            "[kubernetes] api_root is empty, which means the cluster this pod runs in, but {SERVICE_HOST} is not set; \
             run in a pod or set api_root"
        )));
    };
    Ok(address(&host, &port))
}

/// The API server's address. An IPv6 address needs brackets.
pub(crate) fn address(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") }
}

async fn kubeconfig() -> Result<kube::Config, ConfError> {
    kubeconfig::config(&kubeconfig::usual(), None)
        .await
        .map_err(|error| ConfError::Unusable(format!("{error}; or set [kubernetes] api_root")))
}

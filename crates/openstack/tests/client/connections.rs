//! Real sockets: TLS, and connections that break.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use kuryr_openstack::network::NewPort;
use kuryr_openstack::{Cloud, CloudSettings, Error, ErrorKind};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::script::{Step, TOKEN_LIFE, settings, token};

/// A certificate authority, a server it vouches for, and files a client can be given.
struct Pki {
    folder: tempfile::TempDir,
    server: ServerConfig,
    server_asking_for_clients: ServerConfig,
}

fn pki() -> Pki {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    write("ca.pem", ca.pem());
    let client_key = KeyPair::generate().unwrap();
    let client = CertificateParams::new(vec!["client".to_owned()]).unwrap().signed_by(&client_key, &ca).unwrap();
    write("client.pem", client.pem());
    write("client.key", client_key.serialize_pem());
    write("both.pem", client.pem() + &client_key.serialize_pem());

    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let chain = vec![certificate.der().clone()];
    let key = || PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        || ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    Pki {
        server: builder().with_no_client_auth().with_single_cert(chain.clone(), key()).unwrap(),
        server_asking_for_clients: builder().with_client_cert_verifier(clients).with_single_cert(chain, key()).unwrap(),
        folder,
    }
}

impl Pki {
    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.path().join(name))
    }
}

/// Handles each connection in turn until the test ends.
fn serve(handle: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            handle(connection.unwrap());
        }
    });
    address
}

/// Reads one request and gives a token.
fn give_token(mut connection: impl Read + Write) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !complete(&request) {
        match connection.read(&mut buffer) {
            // A client that does not like our certificate.
            Ok(0) | Err(_) => return,
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
    let Step::Answer(_, headers, body) = token("t", TOKEN_LIFE) else { unreachable!() };
    let (name, value) = &headers[0];
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 201 Created\r\n{name}: {value}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    connection.write_all(answer.as_bytes()).unwrap();
    connection.flush().unwrap();
}

/// Whether head and body have arrived.
fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn serve_tls(config: &ServerConfig) -> String {
    let config = Arc::new(config.clone());
    let address = serve(move |tcp| {
        let tls = ServerConnection::new(config.clone()).unwrap();
        give_token(StreamOwned::new(tls, tcp));
    });
    format!("https://localhost:{}", address.port())
}

async fn authenticate(auth_url: &str, change: impl FnOnce(&mut CloudSettings)) -> Result<(), Error> {
    let mut settings = CloudSettings { auth_url: auth_url.to_owned(), ..settings() };
    change(&mut settings);
    Cloud::new(settings)?.authenticate().await.map(drop)
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority() {
    let pki = pki();
    let url = serve_tls(&pki.server);
    authenticate(&url, |settings| settings.cafile = pki.file("ca.pem")).await.unwrap();
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_not_trusted() {
    let (pki, other) = (pki(), pki());
    let url = serve_tls(&pki.server);
    let error = authenticate(&url, |settings| settings.cafile = other.file("ca.pem")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Settings);
    assert!(error.message().contains("invalid peer certificate"), "{error}");
    assert!(error.to_string().contains("set cafile"), "{error}");
    let elsewhere = url.replace("localhost", "127.0.0.1");
    let error = authenticate(&elsewhere, |settings| settings.cafile = pki.file("ca.pem")).await.unwrap_err();
    assert!(error.message().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn insecure_trusts_anyone() {
    let url = serve_tls(&pki().server);
    authenticate(&url, |settings| settings.insecure = true).await.unwrap();
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let pki = pki();
    let url = serve_tls(&pki.server_asking_for_clients);
    let ca = || pki.file("ca.pem");
    authenticate(&url, |settings| {
        (settings.cafile, settings.certfile, settings.keyfile) = (ca(), pki.file("client.pem"), pki.file("client.key"));
    })
    .await
    .unwrap();
    authenticate(&url, |settings| (settings.cafile, settings.certfile) = (ca(), pki.file("both.pem"))).await.unwrap();
    authenticate(&url, |settings| settings.cafile = ca()).await.unwrap_err();
}

#[tokio::test]
async fn files_that_do_not_serve_are_named() {
    let pki = pki();
    let refused = async |change: &dyn Fn(&mut CloudSettings)| {
        let error = authenticate("https://localhost:1", change).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
        assert!(error.cure().is_some(), "{error:?}");
        error.to_string()
    };
    let missing = refused(&|settings| settings.cafile = pki.file("none.pem")).await;
    assert!(missing.contains("none.pem cannot be read"), "{missing}");
    let no_certificate = refused(&|settings| settings.cafile = pki.file("client.key")).await;
    assert!(no_certificate.contains("client.key has no certificate"), "{no_certificate}");
    let no_key = refused(&|settings| {
        settings.cafile = pki.file("ca.pem");
        settings.certfile = pki.file("client.pem");
    })
    .await;
    assert!(no_key.contains("keyfile") && no_key.contains("client.pem"), "{no_key}");
    let wrong_key = refused(&|settings| {
        settings.cafile = pki.file("ca.pem");
        settings.certfile = pki.file("ca.pem");
        settings.keyfile = pki.file("client.key");
    })
    .await;
    assert!(wrong_key.contains("cannot be used together"), "{wrong_key}");
}

#[tokio::test]
async fn nobody_listening_means_nothing_was_sent() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let keystone = serve(give_token);
    let mut settings = CloudSettings { auth_url: format!("http://{keystone}"), ..settings() };
    settings.network_endpoint = Some(format!("http://{free}"));
    settings.timeout = std::time::Duration::from_millis(300);
    let error = Cloud::new(settings).unwrap().network().create_port(&NewPort::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, false), "{error:?}");
    assert!(error.message().contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_doubt() {
    let keystone = serve(give_token);
    let neutron = serve(|mut connection| {
        let mut request = vec![0; 4096];
        assert!(connection.read(&mut request).unwrap() > 0);
    });
    let mut settings = CloudSettings { auth_url: format!("http://{keystone}"), ..settings() };
    settings.network_endpoint = Some(format!("http://{neutron}"));
    let error = Cloud::new(settings).unwrap().network().create_port(&NewPort::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, true), "{error:?}");
}

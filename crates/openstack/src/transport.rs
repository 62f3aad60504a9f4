//! How a request reaches a service: TCP and TLS, or anything else that answers requests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tower::service_fn;
use tower::util::BoxCloneSyncService;

use crate::settings::CloudSettings;
use crate::{Error, ErrorKind};

/// Anything that turns a request into an answer.
pub type Transport = BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, TransportError>;

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection: the service never saw the request.
    #[error("could not connect")]
    NotSent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No connection, because the server's certificate is not one we trust.
    #[error("the server's certificate is not trusted")]
    NotTrusted(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection broke after the request was (partly) sent: the service may have acted on it.
    #[error("the connection was lost before the answer was complete")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The transport may not send it now: our own side said no. The service saw nothing of it.
    #[error("not sent")]
    Withheld(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A TCP connection that takes longer than this will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Web servers in front of OpenStack close idle connections after 5 s (Apache's default). A POST sent into such a
/// connection leaves us not knowing its outcome, so we let go of it first.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// An answer larger than this is not an answer. A page of 1,000 ports has about 1.5 MB.
const MAX_ANSWER: usize = 64 << 20;

/// HTTP/1.1 over TCP, with TLS for `https` addresses.
pub(crate) fn https(settings: &CloudSettings) -> Result<Transport, Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls_config(settings)?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(settings.max_concurrency)
        .build(connector);
    Ok(BoxCloneSyncService::new(service_fn(move |request: http::Request<Bytes>| {
        let client = client.clone();
        async move {
            let response = client.request(request.map(Full::new)).await.map_err(|error| {
                if is_untrusted(&error) {
                    TransportError::NotTrusted(error.into())
                } else if error.is_connect() {
                    TransportError::NotSent(error.into())
                } else {
                    TransportError::Lost(error.into())
                }
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(TransportError::Lost)?;
            Ok(http::Response::from_parts(head, body.to_bytes()))
        }
    })))
}

/// Whether the cause of an error is the server's certificate.
fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // An I/O error does not call the error inside it its source.
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => is_untrusted(inner),
        None => error.source().is_some_and(is_untrusted),
    }
}

fn tls_config(settings: &CloudSettings) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Settings, "TLS cannot be set up").because(&error))?;
    let builder = if settings.insecure {
        tracing::warn!(
            "server certificates are not verified (insecure): anyone on the way can read the password; \
             set cafile to the cloud's certificate authority instead"
        );
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        builder.with_root_certificates(roots(settings)?)
    };
    let Some(certfile) = &settings.certfile else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("certfile", certfile)?;
    let keyfile = settings.keyfile.as_ref().unwrap_or(certfile);
    let key = PrivateKeyDer::from_pem_file(keyfile)
        .map_err(|error| unreadable("keyfile", keyfile, "a private key", error))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        Error::new(
            ErrorKind::Settings,
            format!("client certificate {} and key {} cannot be used together", certfile.display(), keyfile.display()),
        )
        .because(&error)
        .with_cure("give the key that belongs to the certificate")
    })
}

fn roots(settings: &CloudSettings) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(cafile) = &settings.cafile {
        for certificate in certificates("cafile", cafile)? {
            roots.add(certificate).map_err(|error| {
                Error::new(ErrorKind::Settings, format!("cafile {} has a bad certificate", cafile.display()))
                    .because(&error)
            })?;
        }
        return Ok(roots);
    }
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() && settings.auth_url.starts_with("https:") {
        return Err(Error::new(ErrorKind::Settings, "this system has no certificate authorities")
            .with_cure("set cafile, or install the ca-certificates package"));
    }
    Ok(roots)
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(option, path, "certificates", error))?;
    if certificates.is_empty() {
        return Err(Error::new(ErrorKind::Settings, format!("{option} {} has no certificate in it", path.display()))
            .with_cure("give a PEM file with BEGIN CERTIFICATE blocks"));
    }
    Ok(certificates)
}

fn unreadable(option: &str, path: &Path, what: &str, error: rustls::pki_types::pem::Error) -> Error {
    Error::new(ErrorKind::Settings, format!("{option} {} cannot be read", path.display()))
        .because(&error)
        .with_cure(format!("give a readable PEM file with {what}"))
}

/// Accepts any certificate, for `insecure`. Signatures are still checked, as the handshake means nothing without.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! A fake over TCP, plain HTTP/1.1.
//!
//! Below axum, on hyper itself: a connection that a fault says is lost has to close without an answer, which a handler
//! cannot say.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::faults::ConnectionLost;
use crate::openstack::{Cloud, Service};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The largest body taken, in bytes; larger ones are answered 413.
const LARGEST_BODY: usize = 64 << 20;

/// Serves until dropped. `answer` gets whole requests and may answer with a stream; when it says the connection is lost, the
/// connection closes.
pub async fn serve<F, Fut, B>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Bytes>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<B>, ConnectionLost>> + Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, or a client gone before it was accepted.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::task::yield_now().await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let answer = answer.clone();
        connections.spawn(async move {
            // Small answers go out at once.
            let _ = stream.set_nodelay(true);
            let service = service_fn(move |request| one(request, answer.clone()));
            if let Err(error) =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
            {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}

async fn one<F, Fut, B>(
    request: Request<Incoming>,
    answer: F,
) -> Result<Response<Either<B, Full<Bytes>>>, ConnectionLost>
where
    F: Fn(Request<Bytes>) -> Fut,
    Fut: Future<Output = Result<Response<B>, ConnectionLost>>,
    B: Body<Data = Bytes>,
{
    let (head, body) = request.into_parts();
    match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => Ok(answer(Request::from_parts(head, body.to_bytes())).await?.map(Either::Left)),
        Err(_) => {
            let mut response = Response::new(Either::Right(Full::default()));
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            Ok(response)
        }
    }
}

impl Cloud {
    /// Serves all services at one address, told apart by their paths (`/identity`, `/networking`), until dropped.
    pub async fn serve(self, listener: TcpListener) {
        serve(listener, move |request| {
            let cloud = self.clone();
            async move { Ok(cloud.call(request).await?.map(Full::new)) }
        })
        .await;
    }

    /// Serves one service at an address of its own, until dropped. Tell clients of it by [`Cloud::set_endpoints`].
    pub async fn serve_service(self, service: Service, listener: TcpListener) {
        serve(listener, move |request| {
            let cloud = self.clone();
            async move { Ok(cloud.call_service(service, request).await?.map(Full::new)) }
        })
        .await;
    }
}

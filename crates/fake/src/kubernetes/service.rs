//! The cluster as a tower service, in process (`kube::Client::new(cluster, "default")`), and over TCP.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tower::Service;

use super::{Body, Cluster};
use crate::serve::serve;

impl Cluster {
    /// Serves plain HTTP until dropped.
    pub async fn serve(self, listener: TcpListener) {
        serve(listener, move |request| {
            let cluster = self.clone();
            async move { Cluster::call(&cluster, request).await }
        })
        .await;
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<B> Service<Request<B>> for Cluster
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let cluster = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            // The method, not this service's `call`.
            Ok(Cluster::call(&cluster, Request::from_parts(parts, body)).await?)
        })
    }
}

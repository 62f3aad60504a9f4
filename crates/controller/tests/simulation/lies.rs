//! A cloud that lies: what a controller that is broken on purpose would do to it. The invariants must notice.

use bytes::Bytes;
use http::{Request, Response};
use kuryr_openstack::{Transport, TransportError};
use serde_json::Value;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

/// A way to the cloud with an answer of its own where `lie` has one; `null` is an answer without a body.
pub fn lying(
    honest: Transport,
    lie: impl Fn(&Request<Bytes>) -> Option<Value> + Clone + Send + Sync + 'static,
) -> Transport {
    BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
        let (honest, answer) = (honest.clone(), lie(&request));
        async move {
            match answer {
                Some(Value::Null) => {
                    Ok::<_, TransportError>(Response::builder().status(204).body(Bytes::new()).unwrap())
                }
                Some(body) => Ok(Response::new(body.to_string().into())),
                None => honest.oneshot(request).await,
            }
        }
    }))
}

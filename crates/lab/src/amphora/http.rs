//! Requests: each goes where the policies say.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, server};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::configuration::Listener;
use super::pool::{Pool, Turns};
use super::rules::{self, Action};
use super::tcp::connect;

/// What a member answers, or nothing.
type Body = Either<Incoming, Full<Bytes>>;

/// Answers the requests of one client, each by what the listener does at that moment.
pub(super) async fn serve(client: TcpStream, does: watch::Receiver<Listener>, turns: Arc<Turns>) {
    let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request, &does, &turns).await) });
    // Whoever hung up knows why.
    let _ = server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service).await;
}

async fn answer(request: Request<Incoming>, does: &watch::Receiver<Listener>, turns: &Turns) -> Response<Body> {
    let (head, body) = request.into_parts();
    let action = match &*does.borrow() {
        Listener::Http(policies, otherwise) => {
            rules::first(policies, &head).cloned().unwrap_or_else(|| Action::Pool(otherwise.clone()))
        }
        Listener::Plain(pool) => Action::Pool(pool.clone()),
    };
    match action {
        Action::Reject => status(StatusCode::FORBIDDEN),
        Action::Url(url, code) => redirect(&url, code),
        Action::Prefix(prefix, code) => {
            let rest = head.uri.path_and_query().map_or("/", |rest| rest.as_str());
            redirect(&format!("{prefix}{rest}"), code)
        }
        Action::Pool(pool) => pass_on(Request::from_parts(head, body), &pool, turns).await,
    }
}

/// Passes a request on to a member. As from HAProxy, which amphorae run, it is 503 if there is none, and 502 if it fails.
async fn pass_on(request: Request<Incoming>, pool: &Pool, turns: &Turns) -> Response<Body> {
    let Some(member) = connect(turns.next(pool)).await else { return status(StatusCode::SERVICE_UNAVAILABLE) };
    let Ok((mut sender, connection)) = client::conn::http1::handshake(TokioIo::new(member)).await else {
        return status(StatusCode::BAD_GATEWAY);
    };
    tokio::spawn(connection);
    match sender.send_request(request).await {
        Ok(response) => response.map(Either::Left),
        Err(_) => status(StatusCode::BAD_GATEWAY),
    }
}

fn redirect(to: &str, code: u16) -> Response<Body> {
    let mut response = status(StatusCode::from_u16(code).unwrap_or(StatusCode::FOUND));
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::default()));
    *response.status_mut() = status;
    response
}

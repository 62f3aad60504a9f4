//! A cluster and a cloud in memory, served over TCP to programs that know nothing of that.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "not every test has a cloud")]

use std::path::Path;

use bytes::Bytes;
use http::Request;
use kuryr_fake::kubernetes::Cluster;
use kuryr_fake::openstack::{Cloud, Options};
use kuryr_fake::serve::serve;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Serves a cluster for as long as `runtime` lives, and writes its kubeconfig. Requests pass `read` first.
pub fn serve_cluster(
    runtime: &Runtime,
    cluster: &Cluster,
    kubeconfig: &Path,
    read: impl Fn(Request<Bytes>) -> Request<Bytes> + Copy + Send + Sync + 'static,
) {
    let cluster = cluster.clone();
    let server = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, move |request| {
            let cluster = cluster.clone();
            async move { cluster.call(read(request)).await }
        }));
        server
    });
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{ "name": "x", "cluster": { "server": format!("http://{server}") } }],
        "contexts": [{ "name": "x", "context": { "cluster": "x", "user": "x" } }],
        "users": [{ "name": "x", "user": {} }],
    });
    std::fs::write(kubeconfig, text.to_string()).unwrap();
}

/// Serves a new cloud for as long as `runtime` lives.
pub fn serve_cloud(runtime: &Runtime) -> Cloud {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cloud = Cloud::new(Options { url, ..Options::default() });
        tokio::spawn(cloud.clone().serve(listener));
        cloud
    })
}

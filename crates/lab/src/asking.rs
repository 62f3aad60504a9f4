//! Asking load balancers from a pod, and counting who answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep, timeout};

use crate::namespaces::inside_netns;
use crate::pods::LabPod;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a load balancer that is said to be ready may take for its first answer, and the pause between two tries.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// Every pod behind a load balancer is to be heard this often, and at least so many questions are asked.
const TURNS: usize = 2;
const QUESTIONS: usize = 20;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// An HTTP request for this host and path.
    Request { host: String, path: String },
    /// A datagram.
    Datagram,
}

/// Questions to a load balancer, and the pods that are to answer.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The object behind the load balancer: `Service hello`.
    pub(crate) whom: String,
    pub(crate) at: SocketAddr,
    pub(crate) question: Question,
    pub(crate) expected: Vec<String>,
}

/// How often each pod answered.
pub(crate) type Answers = BTreeMap<String, usize>;

/// Asks all questions from a pod. Fails if one of the expected pods is not heard, or another one is.
pub(crate) async fn ask_from(pod: &LabPod, asked: &[Asked]) -> Result<Vec<Answers>> {
    let netns = pod.kubelet.pod(&pod.uid).context("the pod is gone")?.sandbox.netns;
    let asked = asked.to_vec();
    let ask_all = async move {
        let mut answers = Vec::new();
        for asked in &asked {
            answers.push(asked.ask().await?);
        }
        Ok(answers)
    };
    let ask_all = move || {
        // Sockets belong to the network namespace of the thread that opens them.
        inside_netns(&netns, || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ask_all))
    };
    pod.kubelet.node().run(ask_all).await
}

impl Asked {
    async fn ask(&self) -> Result<Answers> {
        let what = || format!("{}, {}", self.whom, self.describe());
        let begun = Instant::now();
        while let Err(error) = self.ask_once().await {
            ensure!(begun.elapsed() < FIRST_ANSWER, "{}: no answer: {error:#}", what());
            sleep(PAUSE).await;
        }
        let mut answers = Answers::new();
        for _ in 0..QUESTIONS.max(TURNS * self.expected.len()) {
            *answers.entry(self.ask_once().await.with_context(what)?).or_default() += 1;
        }
        let heard: Vec<&String> = answers.keys().collect();
        let complete = self.expected.iter().all(|pod| answers.contains_key(pod));
        ensure!(
            complete && heard.len() == self.expected.len(),
            "{}: {heard:?} answered instead of {:?}",
            what(),
            self.expected
        );
        Ok(answers)
    }

    /// What is asked, for people: a URL, or what is like one.
    pub(crate) fn describe(&self) -> String {
        match &self.question {
            Question::Request { host, path } => format!("http://{host}{path}"),
            Question::Datagram => format!("udp://{}", self.at),
        }
    }

    /// Who answers.
    async fn ask_once(&self) -> Result<String> {
        let answer = async {
            match &self.question {
                Question::Request { host, path } => request(self.at, host, path).await,
                Question::Datagram => datagram(self.at).await,
            }
        };
        let answer =
            timeout(ANSWER, answer).await.with_context(|| format!("nothing after {} s", ANSWER.as_secs()))??;
        Ok(String::from_utf8_lossy(&answer).trim().to_owned())
    }
}

/// The body of an answer to a GET, on a connection of its own.
async fn request(at: SocketAddr, host: &str, path: &str) -> Result<Bytes> {
    let stream = TcpStream::connect(at).await.context("no connection")?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(Request::get(path).header("host", host).body(Empty::<Bytes>::new())?).await?;
    ensure!(response.status() == StatusCode::OK, "{}", response.status());
    let body = response.collect().await?.to_bytes();
    drop(sender);
    connection.await??;
    Ok(body)
}

async fn datagram(at: SocketAddr) -> Result<Bytes> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).await?;
    socket.connect(at).await?;
    socket.send(b"who are you?").await?;
    let mut answer = vec![0; 512];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer.into())
}

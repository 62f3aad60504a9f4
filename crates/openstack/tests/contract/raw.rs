//! Requests the client has no words for.

use std::io::{Read, Write};
use std::net::TcpStream;

use kuryr_openstack::Secret;
use serde_json::Value;

/// One request over plain HTTP; anything but a good answer fails the case.
pub(crate) fn call(method: &str, url: &str, token: &Secret, body: &Value) -> Value {
    let rest = url.strip_prefix("http://").expect("this suite speaks plain HTTP to the real Keystone");
    let (host, path) = rest.split_once('/').expect("an address with a path");
    let mut connection = TcpStream::connect(host).expect("a connection");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (token, length) = (token.expose(), body.len());
    write!(
        connection,
        "{method} /{path} HTTP/1.0\r\nhost: {host}\r\nx-auth-token: {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .expect("a request sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer with a head");
    assert!(head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')), "{method} {url}: {answer}");
    serde_json::from_str(body).unwrap_or_default()
}

//! Secrets in Protobuf, as the typed clients of Go write them (`helm` its releases, `kubectl create secret`), put into the JSON the fake
//! reads. An API server takes both.

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// How each such body begins.
const MAGIC: &[u8] = b"k8s\0";

/// The same request with a body in JSON.
pub(super) fn as_json(mut request: Request<Bytes>) -> Request<Bytes> {
    let is_protobuf = request.headers().get(header::CONTENT_TYPE).is_some_and(|found| found == PROTOBUF);
    if is_protobuf && let Some(envelope) = request.body().strip_prefix(MAGIC) {
        let body = object(envelope).to_string();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
        *request.body_mut() = body.into();
    }
    request
}

/// runtime.Unknown: 1 apiVersion and kind, 2 the object.
fn object(envelope: &[u8]) -> Value {
    let of_type = first(envelope, 1).unwrap_or_default();
    let (api_version, kind) = (text(of_type, 1), text(of_type, 2));
    let raw = first(envelope, 2).unwrap_or_default();
    match kind.as_deref() {
        Some("Secret") => secret(raw),
        // What to do with dependents; a Secret has none.
        Some("DeleteOptions") => json!({ "apiVersion": api_version, "kind": kind }),
        _ => panic!("{kind:?} in Protobuf: teach world/protobuf.rs to read it"),
    }
}

/// Secret: 1 metadata (1 name, 3 namespace, 6 resourceVersion, 11 labels, 12 annotations), 2 data, 3 type.
fn secret(raw: &[u8]) -> Value {
    let metadata = first(raw, 1).unwrap_or_default();
    let data = map(raw, 2).into_iter().map(|(key, value)| (key, json!(ByteString(value))));
    let words = |number| -> Map<String, Value> {
        let all = map(metadata, number).into_iter();
        all.map(|(key, value)| (key, String::from_utf8(value).unwrap().into())).collect()
    };
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": text(raw, 3), "data": data.collect::<Map<_, _>>(),
        "metadata": {
            "name": text(metadata, 1), "namespace": text(metadata, 3), "resourceVersion": text(metadata, 6),
            "labels": words(11), "annotations": words(12),
        },
    })
}

fn map(message: &[u8], number: u64) -> Vec<(String, Vec<u8>)> {
    let entries = fields(message).into_iter().filter(|(found, _)| *found == number);
    entries
        .map(|(_, entry)| (text(entry, 1).unwrap_or_default(), first(entry, 2).unwrap_or_default().to_vec()))
        .collect()
}

/// A string; one that is empty was not said.
fn text(message: &[u8], number: u64) -> Option<String> {
    let found = first(message, number).filter(|bytes| !bytes.is_empty())?;
    Some(String::from_utf8(found.to_vec()).unwrap())
}

fn first(message: &[u8], number: u64) -> Option<&[u8]> {
    fields(message).into_iter().find(|(found, _)| *found == number).map(|(_, bytes)| bytes)
}

/// Numbers and contents of the fields that have a length; numbers alone are passed over.
fn fields(mut rest: &[u8]) -> Vec<(u64, &[u8])> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest);
        match tag & 7 {
            0 => drop(varint(&mut rest)),
            2 => {
                let length = usize::try_from(varint(&mut rest)).unwrap();
                let (content, behind) = rest.split_at(length);
                fields.push((tag >> 3, content));
                rest = behind;
            }
            other => panic!("wire type {other} is in no Secret"),
        }
    }
    fields
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first().expect("a number that is cut off");
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

#[test]
fn a_secret_is_read() {
    let field =
        |number: u8, content: &[u8]| [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat();
    let entry = |key: &str, value: &str| [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
    let metadata = [field(1, b"n"), field(11, &entry("l", "x"))].concat();
    let raw = [field(1, &metadata), field(2, &entry("k", "v")), field(3, b"Opaque"), vec![5 << 3, 1]].concat();
    let kind = [field(1, b"v1"), field(2, b"Secret")].concat();
    let read = object(&[field(1, &kind), field(2, &raw)].concat());
    assert_eq!((&read["metadata"]["name"], &read["metadata"]["labels"]["l"]), (&json!("n"), &json!("x")));
    assert_eq!((&read["data"]["k"], &read["type"]), (&json!("dg=="), &json!("Opaque")));
}

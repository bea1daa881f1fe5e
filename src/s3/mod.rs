//! Requests of a fill to the store, and the reading of the answers.

pub mod xml;

use crate::config::{Bucket, Overwrite};
use crate::http::{Body, Method, Request, Response, is_field_value};
use crate::object::key::{Key, RESERVED};
use crate::object::metadata::Metadata;
use percent_encoding::utf8_percent_encode;
use std::rc::Rc;

/// The result of a HEAD with the writer's credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadResult {
    /// The object is there.
    Exists,
    /// The object is missing, or S3 does not tell: without the right to list, a missing key is a 403 here too. The
    /// conditional PUT decides.
    Unknown,
    /// The store could not be asked.
    Unavailable,
}

/// The result of a conditional PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutResult {
    /// Another writer's object is there.
    Exists,
    /// The object was not stored and will not be: wrong credentials, no such bucket.
    Rejected(u16),
    /// The object may be stored or not. Another attempt is safe, because the PUT is conditional.
    Retry(u16),
    /// The object is stored.
    Stored,
}

/// Makes the request that finds out if the object is there.
pub fn head_object(bucket: &Bucket, key: &Key) -> Request {
    Request { method: Method::Head, path: path(bucket, key), headers: Vec::new(), body: Rc::default() }
}

/// Reads the answer to [`head_object`].
pub fn read_head_object(response: &Response) -> HeadResult {
    match response.status {
        200..=299 => HeadResult::Exists,
        403 | 404 => HeadResult::Unknown,
        _ => HeadResult::Unavailable,
    }
}

/// Makes the request that stores the object unless one is there, as far as the store can refuse that.
///
/// `If-None-Match: *` makes it idempotent and keeps it from ever overwriting:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>. `Content-Length` is given because
/// Envoy sets it on a call only where there is content, and S3 demands it of an empty object too.
pub fn put_object(bucket: &Bucket, key: &Key, metadata: &Metadata, body: Body) -> Request {
    let mut headers: Vec<_> = condition(bucket).into_iter().collect();
    headers.push(("content-length", body.len().to_string()));
    headers.extend(described(bucket, metadata));
    Request { method: Method::Put, path: path(bucket, key), headers, body }
}

/// Reads the answer to [`put_object`].
pub fn read_put_object(response: &Response) -> PutResult {
    match response.status {
        200..=299 => PutResult::Stored,
        // R2 answers a failed If-None-Match with 304, all other stores with 412.
        304 | 412 => PutResult::Exists,
        409 if is_forbidden_overwrite(response) => PutResult::Exists,
        status if is_passing(status) => PutResult::Retry(status),
        status => PutResult::Rejected(status),
    }
}

/// Makes the request that begins an upload of parts. It is not idempotent: each success begins another upload.
pub fn create_multipart_upload(bucket: &Bucket, key: &Key, metadata: &Metadata) -> Request {
    let mut headers = vec![("content-length", "0".to_owned())];
    headers.extend(described(bucket, metadata));
    let path = format!("{}?uploads=", path(bucket, key));
    Request { method: Method::Post, path, headers, body: Rc::default() }
}

/// Reads the id of the upload that was begun. The error is an answer without one.
pub fn read_create_multipart_upload(response: &Response) -> Result<UploadId, Refusal> {
    let id = ok(response).then(|| std::str::from_utf8(&response.body).ok()).flatten().and_then(|text| {
        let (_, id) = text.split_once("<UploadId>")?;
        let (id, _) = id.split_once("</UploadId>")?;
        // An id with an entity in it would need an XML parser; no store is known to have one.
        (is_field_value(id) && !id.contains(['&', '<', ' '])).then(|| UploadId(id.to_owned()))
    });
    id.ok_or_else(|| Refusal::of(response))
}

/// Makes the request that stores one part. The same part again replaces it.
pub fn upload_part(bucket: &Bucket, key: &Key, upload: &UploadId, number: u64, body: Body) -> Request {
    let path = format!("{}?partNumber={number}&{}", path(bucket, key), upload.query());
    Request { method: Method::Put, path, headers: vec![("content-length", body.len().to_string())], body }
}

/// Reads the stored part's entity tag, by which the upload is completed.
pub fn read_upload_part(response: &Response) -> Result<String, Refusal> {
    let etag = response.headers.text("etag").filter(|_| ok(response));
    etag.map(str::to_owned).ok_or_else(|| Refusal::of(response))
}

/// Makes the request that joins the parts to the object unless one is there. `x-amz-mp-object-size` makes the store
/// compare the length.
pub fn complete_multipart_upload(
    bucket: &Bucket,
    key: &Key,
    upload: &UploadId,
    etags: &[String],
    total: u64,
) -> Request {
    let mut document = String::from("<CompleteMultipartUpload>");
    for (number, etag) in (1_u32..).zip(etags) {
        let etag = xml::escape(etag);
        document.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    document.push_str("</CompleteMultipartUpload>");
    let mut headers: Vec<_> = condition(bucket).into_iter().collect();
    headers.extend([
        ("content-type", "application/xml".to_owned()),
        ("content-length", document.len().to_string()),
        ("x-amz-mp-object-size", total.to_string()),
    ]);
    let path = format!("{}?{}", path(bucket, key), upload.query());
    Request { method: Method::Post, path, headers, body: Rc::new(document.into_bytes()) }
}

/// Reads the answer to [`complete_multipart_upload`]. A 200 alone proves nothing, because AWS sends its status before
/// it is done (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>). The result in the
/// body counts.
pub fn read_complete_multipart_upload(response: &Response) -> CompleteResult {
    const RESULT: &str = "<CompleteMultipartUploadResult";
    let code = xml::error_code(&response.body);
    let done = std::str::from_utf8(&response.body).is_ok_and(|document| document.contains(RESULT));
    match (response.status, code) {
        (200..=299, None) if done => CompleteResult::Stored,
        (304 | 412, _) | (200..=299, Some("PreconditionFailed")) => CompleteResult::Exists,
        (409, _) if is_forbidden_overwrite(response) => CompleteResult::Exists,
        (404, _) | (200..=299, Some("NoSuchUpload")) => CompleteResult::NoSuchUpload,
        (200..=299, _) => CompleteResult::Retry(response.status),
        (status, _) if is_passing(status) => CompleteResult::Retry(status),
        (status, _) => CompleteResult::Rejected(status),
    }
}

/// Makes the request that aborts an upload and drops its parts.
pub fn abort_multipart_upload(bucket: &Bucket, key: &Key, upload: &UploadId) -> Request {
    let path = format!("{}?{}", path(bucket, key), upload.query());
    Request { method: Method::Delete, path, headers: Vec::new(), body: Rc::default() }
}

/// Tells if an answer to [`abort_multipart_upload`] says that the upload is gone.
pub fn read_abort_multipart_upload(response: &Response) -> bool {
    ok(response) || response.status == 404
}

/// The store's id of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadId(String);

impl UploadId {
    fn query(&self) -> String {
        format!("uploadId={}", utf8_percent_encode(&self.0, RESERVED))
    }
}

/// A store's answer that it did not do as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// The store may do it the next time.
    pub passing: bool,
    /// The store certainly has not done it. A 500 or 504 may hide that it has.
    pub undone: bool,
}

impl Refusal {
    fn of(response: &Response) -> Self {
        let status = response.status;
        Self { status, passing: is_passing(status), undone: matches!(status, 409 | 429 | 503) }
    }
}

/// The result of completing an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompleteResult {
    /// Another writer's object is there.
    Exists,
    /// The upload is gone: an earlier attempt completed it, or it was aborted.
    NoSuchUpload,
    /// The upload was not completed and will not be.
    Rejected(u16),
    /// The upload may be completed or not; another attempt is safe.
    Retry(u16),
    /// The object is there.
    Stored,
}

fn ok(response: &Response) -> bool {
    (200..=299).contains(&response.status)
}

/// Tells if the store may answer otherwise the next time. 409 ConditionalRequestConflict: another conditional write
/// of this key is under way. 503 SlowDown.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429 | 500..=599)
}

/// Returns the header that makes the store refuse to overwrite.
fn condition(bucket: &Bucket) -> Option<(&'static str, String)> {
    match bucket.overwrite {
        Overwrite::Conditional => Some(("if-none-match", "*".to_owned())),
        Overwrite::Forbidden(header) => Some((header, "true".to_owned())),
        Overwrite::HeadFirst => None,
    }
}

/// Tells if the store refused because of a header that forbids to overwrite.
fn is_forbidden_overwrite(response: &Response) -> bool {
    xml::error_code(&response.body) == Some("FileAlreadyExists")
}

/// Lists the headers that describe an object to its store.
fn described(bucket: &Bucket, metadata: &Metadata) -> Vec<(&'static str, String)> {
    let class = bucket.storage_class.as_ref().map(|class| ("x-amz-storage-class", class.clone()));
    metadata.stored().map(|(name, value)| (name, value.to_owned())).chain(class).collect()
}

fn path(bucket: &Bucket, key: &Key) -> String {
    format!("{}/{}", bucket.path_prefix, key.encoded())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Headers;

    fn response(status: u16, body: &str) -> Response {
        Response { status, headers: Headers::default(), body: body.into() }
    }

    #[test]
    fn an_upload_id_is_read_and_sent_again_in_the_canonical_encoding() {
        let read = |body| read_create_multipart_upload(&response(200, body));
        let upload =
            read("<InitiateMultipartUploadResult><UploadId>aZ9-._~+/=</UploadId></InitiateMultipartUploadResult>")
                .unwrap();
        let (bucket, key) = (Bucket { path_prefix: "/b".into(), ..Bucket::default() }, Key::from_path(b"a b").unwrap());
        assert_eq!(
            upload_part(&bucket, &key, &upload, 7, Body::default()).path,
            "/b/a%20b?partNumber=7&uploadId=aZ9-._~%2B%2F%3D"
        );
        assert_eq!(abort_multipart_upload(&bucket, &key, &upload).path, "/b/a%20b?uploadId=aZ9-._~%2B%2F%3D");
        for wrong in
            ["", "<UploadId></UploadId>", "<UploadId>a&amp;b</UploadId>", "<UploadId>a", "<UploadId>\r\n</UploadId>"]
        {
            assert_eq!(read(wrong), Err(Refusal { status: 200, passing: false, undone: false }), "{wrong}");
        }
        let refused = read_create_multipart_upload(&response(503, "<UploadId>a</UploadId>"));
        assert_eq!(refused, Err(Refusal { status: 503, passing: true, undone: true }));
    }

    #[test]
    fn a_200_with_an_error_in_it_completes_nothing() {
        let error = |code| format!("\n\n<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
        for (status, body, expected) in [
            (200, "<CompleteMultipartUploadResult/>".to_owned(), CompleteResult::Stored),
            (200, String::new(), CompleteResult::Retry(200)),
            (200, "<html>".to_owned(), CompleteResult::Retry(200)),
            (200, error("InternalError"), CompleteResult::Retry(200)),
            (200, error("PreconditionFailed"), CompleteResult::Exists),
            (412, error("PreconditionFailed"), CompleteResult::Exists),
            (404, error("NoSuchUpload"), CompleteResult::NoSuchUpload),
            (409, error("ConditionalRequestConflict"), CompleteResult::Retry(409)),
            (503, error("SlowDown"), CompleteResult::Retry(503)),
            (400, error("InvalidPart"), CompleteResult::Rejected(400)),
        ] {
            assert_eq!(read_complete_multipart_upload(&response(status, &body)), expected, "{status} {body}");
        }
    }

    #[test]
    fn the_answer_to_a_put_says_stored_exists_retry_or_rejected() {
        let read = |status| read_put_object(&Response { status, headers: Headers::default(), body: Vec::new() });
        assert_eq!([200, 204].map(read), [PutResult::Stored; 2]);
        assert_eq!([304, 412].map(read), [PutResult::Exists; 2]);
        assert_eq!([409, 500, 503, 504].map(read), [409, 500, 503, 504].map(PutResult::Retry));
        assert_eq!([0, 302, 400, 403, 404, 411].map(read), [0, 302, 400, 403, 404, 411].map(PutResult::Rejected));
    }
}

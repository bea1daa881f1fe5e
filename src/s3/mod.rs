//! Requests of a fill to the store, and the reading of the answers.

pub mod xml;

use crate::config::{Bucket, Overwrite};
use crate::http::{Body, Method, Request, Response, is_field_value};
use crate::object::http_date::HttpDate;
use crate::object::key::{Key, RESERVED};
use crate::object::metadata::Metadata;
use crate::request::denial::DELETE_MARKER;
use percent_encoding::utf8_percent_encode;
use std::rc::Rc;

/// The result of a HEAD with the writer's credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadResult {
    /// The object is not there, because it was deleted: the store says so of the newest version.
    Deleted,
    /// The object is there.
    Exists,
    /// The store does not say. A writer without `s3:ListBucket` gets a 403 for a missing key
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>), and anybody whom a policy denies the
    /// object gets one.
    Forbidden,
    /// The object is not there.
    Missing,
    /// The store gave no answer to the question.
    Refused(Refusal),
}

/// The result of a PUT of an object, or of the completion of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// Another write of the key was under way while the upload was completed. AWS wants a new upload then
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>).
    Conflict,
    /// The store says that an object is there already.
    Exists,
    /// The upload is gone: completed, by us or by somebody else, or aborted.
    NoSuchUpload,
    /// The store did not do it, or does not say that it did.
    Refused(Refusal),
    /// The object is there.
    Stored,
}

/// Makes the request that finds out if the object is there.
pub fn head_object(bucket: &Bucket, key: &Key) -> Request {
    Request {
        method: Method::Head,
        path: path(bucket, key),
        headers: Vec::new(),
        metadata: Vec::new(),
        body: Rc::default(),
    }
}

/// Reads the answer to [`head_object`].
pub fn read_head_object(response: &Response) -> HeadResult {
    match response.status {
        200..=299 => HeadResult::Exists,
        403 => HeadResult::Forbidden,
        404 if response.headers.text(DELETE_MARKER) == Some("true") => HeadResult::Deleted,
        404 => HeadResult::Missing,
        _ => HeadResult::Refused(Refusal::of(response)),
    }
}

/// Seconds for which an object is new. It covers the wait of a queued fill, and the time that most objects take to be
/// fetched: S3 dates an object of several parts by the beginning of its upload.
const NEW: u64 = 15 * 60;

/// Tells if the object that a HEAD found is new, by the store's own clock.
pub fn is_new(response: &Response) -> bool {
    let date = |name| response.headers.text(name).and_then(HttpDate::parse).map(HttpDate::seconds);
    let age = date("date").zip(date("last-modified")).map(|(now, stored)| now.saturating_sub(stored));
    age.is_some_and(|age| age <= NEW)
}

/// Makes the request that stores the object unless one is there, as far as the store can refuse that.
///
/// `If-None-Match: *` makes it idempotent and keeps it from ever overwriting:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>. `Content-Length` is given because
/// Envoy sets it on a call only where there is content, and S3 demands it of an empty object too.
pub fn put_object(bucket: &Bucket, key: &Key, metadata: &Metadata, body: Body) -> Request {
    // As many as most objects have.
    let mut headers = Vec::with_capacity(8);
    headers.extend(condition(bucket));
    headers.push(("content-length", body.len().to_string()));
    describe(&mut headers, bucket, metadata);
    Request { method: Method::Put, path: path(bucket, key), headers, metadata: metadata.of_user(), body }
}

/// Tells if a request is that of [`put_object`], of whose answer status and body are read, and no header.
pub fn is_put_object(request: &Request) -> bool {
    request.method == Method::Put && !request.path.contains('?')
}

/// Reads the answer to [`put_object`].
pub fn read_put_object(response: &Response) -> WriteResult {
    match response.status {
        200..=299 => WriteResult::Stored,
        // R2 answers a failed If-None-Match with 304, everyone else with 412.
        304 | 412 => WriteResult::Exists,
        409 if is_forbidden_overwrite(response) => WriteResult::Exists,
        _ => WriteResult::Refused(Refusal::of(response)),
    }
}

/// Makes the request that begins an upload of parts. It is not idempotent: each success begins another upload.
pub fn create_multipart_upload(bucket: &Bucket, key: &Key, metadata: &Metadata) -> Request {
    let mut headers = vec![("content-length", "0".to_owned())];
    describe(&mut headers, bucket, metadata);
    let path = format!("{}?uploads=", path(bucket, key));
    Request { method: Method::Post, path, headers, metadata: metadata.of_user(), body: Rc::default() }
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
    let headers = vec![("content-length", body.len().to_string())];
    Request { method: Method::Put, path, headers, metadata: Vec::new(), body }
}

/// Reads the stored part's entity tag, by which the upload is completed.
pub fn read_upload_part(response: &Response) -> Result<String, Refusal> {
    let etag = response.headers.text("etag").filter(|etag| ok(response) && !etag.is_empty());
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
    Request { method: Method::Post, path, headers, metadata: Vec::new(), body: Rc::new(document.into_bytes()) }
}

/// Reads the answer to [`complete_multipart_upload`]. A 200 alone proves nothing, because AWS sends its status before
/// it is done (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>). The result in the
/// body counts.
pub fn read_complete_multipart_upload(response: &Response) -> WriteResult {
    const RESULT: &str = "<CompleteMultipartUploadResult";
    let code = xml::error_code(&response.body);
    let done = std::str::from_utf8(&response.body).is_ok_and(|document| document.contains(RESULT));
    match (response.status, code) {
        (200..=299, None) if done => WriteResult::Stored,
        (304 | 412, _) | (200..=299, Some("PreconditionFailed")) => WriteResult::Exists,
        (409, _) if is_forbidden_overwrite(response) => WriteResult::Exists,
        (409, _) | (200..=299, Some("ConditionalRequestConflict")) => WriteResult::Conflict,
        (404, _) | (200..=299, Some("NoSuchUpload")) => WriteResult::NoSuchUpload,
        (200..=299, _) => WriteResult::Refused(Refusal { passing: true, ..Refusal::of(response) }),
        _ => WriteResult::Refused(Refusal::of(response)),
    }
}

/// Makes the request that aborts an upload and drops its parts.
pub fn abort_multipart_upload(bucket: &Bucket, key: &Key, upload: &UploadId) -> Request {
    let path = format!("{}?{}", path(bucket, key), upload.query());
    Request { method: Method::Delete, path, headers: Vec::new(), metadata: Vec::new(), body: Rc::default() }
}

/// Reads the answer to [`abort_multipart_upload`]. `Ok` means that the upload is gone.
pub fn read_abort_multipart_upload(response: &Response) -> Result<(), Refusal> {
    if ok(response) || response.status == 404 { Ok(()) } else { Err(Refusal::of(response)) }
}

/// The store's id of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadId(String);

impl UploadId {
    fn query(&self) -> String {
        format!("uploadId={}", utf8_percent_encode(&self.0, RESERVED))
    }
}

/// A store that did not do what it was asked, or did not say that it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The store's status; 0 if it gave none.
    pub status: u16,
    /// The store may do it the next time.
    pub passing: bool,
    /// The store certainly has not done it.
    pub undone: bool,
}

impl Refusal {
    /// No answer at all: the connection was refused, reset or cut.
    pub const UNANSWERED: Self = Self { status: 0, passing: true, undone: false };

    /// Reads an answer that is no success. A 500 or 504 may hide that the request was carried out. So may a 503: Envoy
    /// gives it, with text, for a connection that was reset after the request (`Filter::onUpstreamReset`, `router.cc`).
    /// A 503 in S3's own words does not.
    fn of(response: &Response) -> Self {
        let status = response.status;
        let undone = match status {
            408 => false,
            503 => xml::error_code(&response.body).is_some(),
            _ => (300..=499).contains(&status),
        };
        Self { status, passing: is_passing(status), undone }
    }
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
fn describe(headers: &mut Vec<(&'static str, String)>, bucket: &Bucket, metadata: &Metadata) {
    headers.extend(metadata.stored().map(|(name, value)| (name, value.to_owned())));
    headers.extend(bucket.storage_class.as_ref().map(|class| ("x-amz-storage-class", class.clone())));
    headers.extend(bucket.put_headers.iter().cloned());
}

fn path(bucket: &Bucket, key: &Key) -> String {
    key.encoded().behind([&bucket.path_prefix, "/"])
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
        assert_eq!(refused, Err(Refusal { status: 503, passing: true, undone: false }));
    }

    #[test]
    fn only_a_refusal_in_s3s_words_says_that_nothing_was_done() {
        const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code></Error>";
        const OF_ENVOY: &str = "upstream connect error or disconnect/reset before headers";
        for (status, body, passing, undone) in [
            (503, SLOW_DOWN, true, true),
            (503, OF_ENVOY, true, false),
            (503, "", true, false),
            (500, SLOW_DOWN, true, false),
            (504, OF_ENVOY, true, false),
            (408, "", true, false),
            (409, "", true, true),
            (429, "", true, true),
            (301, "", false, true),
            (403, "", false, true),
            (200, "", false, false),
            (0, "", false, false),
        ] {
            assert_eq!(Refusal::of(&response(status, body)), Refusal { status, passing, undone }, "{status} {body}");
        }
    }

    #[test]
    fn a_200_with_an_error_in_it_completes_nothing() {
        let error = |code| format!("\n\n<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
        let refused = |status, passing, undone| WriteResult::Refused(Refusal { status, passing, undone });
        for (status, body, expected) in [
            (200, "<CompleteMultipartUploadResult/>".to_owned(), WriteResult::Stored),
            (200, String::new(), refused(200, true, false)),
            (200, "<html>".to_owned(), refused(200, true, false)),
            (200, error("InternalError"), refused(200, true, false)),
            (200, error("PreconditionFailed"), WriteResult::Exists),
            (412, error("PreconditionFailed"), WriteResult::Exists),
            (409, error("FileAlreadyExists"), WriteResult::Exists),
            (404, error("NoSuchUpload"), WriteResult::NoSuchUpload),
            (200, error("NoSuchUpload"), WriteResult::NoSuchUpload),
            (409, error("ConditionalRequestConflict"), WriteResult::Conflict),
            (200, error("ConditionalRequestConflict"), WriteResult::Conflict),
            (503, error("SlowDown"), refused(503, true, true)),
            (400, error("InvalidPart"), refused(400, false, true)),
        ] {
            assert_eq!(read_complete_multipart_upload(&response(status, &body)), expected, "{status} {body}");
        }
    }

    #[test]
    fn the_answer_to_a_put_says_stored_exists_or_refused() {
        let read = |status| read_put_object(&response(status, ""));
        assert_eq!([200, 204].map(read), [WriteResult::Stored; 2]);
        assert_eq!([304, 412].map(read), [WriteResult::Exists; 2]);
        for (statuses, expected) in [(&[409, 500, 503, 504][..], true), (&[0, 302, 400, 403, 404, 411], false)] {
            for status in statuses {
                match read(*status) {
                    WriteResult::Refused(refusal) => assert_eq!((refusal.status, refusal.passing), (*status, expected)),
                    other => panic!("{status}: {other:?}"),
                }
            }
        }
    }
}

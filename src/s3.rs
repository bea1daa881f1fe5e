//! The S3 side of a fill: what is sent to the store, and what its answers mean.

use crate::config::Bucket;
use crate::http::{Body, Method, Request, Response};
use crate::key::Key;
use crate::origin::Metadata;
use std::rc::Rc;

/// What a HEAD with the writer's credential says about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// It is there.
    Exists,
    /// It is not there, or S3 would not say: without the right to list, a missing key is a 403 here too. The
    /// conditional PUT decides.
    Unknown,
    /// The store could not be asked.
    Unavailable,
}

/// What a conditional PUT led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Somebody else's object is there.
    Exists,
    /// It was not stored and will not be: wrong credentials, no such bucket.
    Rejected(u16),
    /// It may be stored or not; asking again is safe, because it is conditional.
    Retry(u16),
    /// Stored.
    Stored,
}

/// Asks whether the object is there.
pub fn head(bucket: &Bucket, key: &Key) -> Request {
    Request { method: Method::Head, path: path(bucket, key), headers: Vec::new(), body: Rc::default() }
}

/// Reads the answer to [`head`].
pub fn read_head(response: &Response) -> Existence {
    match response.status {
        200..=299 => Existence::Exists,
        403 | 404 => Existence::Unknown,
        _ => Existence::Unavailable,
    }
}

/// Stores the object unless one is there.
///
/// `If-None-Match: *` makes it idempotent and keeps it from ever overwriting:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>. `Content-Length` is given because
/// Envoy sets it on a call only where there is content, and S3 demands it of an empty object too.
pub fn put(bucket: &Bucket, key: &Key, metadata: &Metadata, body: Body) -> Request {
    let mut headers = vec![("if-none-match", "*".to_owned()), ("content-length", body.len().to_string())];
    headers.extend(metadata.stored().map(|(name, value)| (name, value.to_owned())));
    Request { method: Method::Put, path: path(bucket, key), headers, body }
}

/// Reads the answer to [`put`].
pub fn read_put(response: &Response) -> Put {
    match response.status {
        200..=299 => Put::Stored,
        // R2 answers a failed If-None-Match with 304, everyone else with 412.
        304 | 412 => Put::Exists,
        // 409 ConditionalRequestConflict: another conditional write of this key is under way. 503 SlowDown.
        status @ (408 | 409 | 425 | 429 | 500..=599) => Put::Retry(status),
        status => Put::Rejected(status),
    }
}

/// The `<Code>` of an S3 error document, if this is one.
///
/// A search instead of an XML parser: codes are plain letters, and a document that hides one from this search is one
/// whose code nobody knows.
pub fn error_code(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, error) = text.split_once("<Error")?;
    let (_, code) = error.split_once("<Code>")?;
    let (code, _) = code.split_once("</Code>")?;
    let code = code.trim();
    (!code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(code)
}

/// An error document in S3's form.
pub fn error_document(code: &str, message: &str, resource: &str) -> Vec<u8> {
    let resource = escape(resource);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>{message}</Message><Resource>{resource}</Resource></Error>"
    )
    .into_bytes()
}

/// S3's own answer to a GET of a key that is not there.
pub fn no_such_key(key: &Key) -> Vec<u8> {
    let key = escape(key.as_str());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>{key}</Key></Error>"
    )
    .into_bytes()
}

fn path(bucket: &Bucket, key: &Key) -> String {
    format!("{}/{}", bucket.path_prefix, key.encoded())
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // XML 1.0 cannot hold these two in any form.
            '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Headers;

    #[test]
    fn the_code_of_an_error_document_is_found_however_it_is_written() {
        for (body, code) in [
            (&b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>x</Message></Error>"[..], Some("NoSuchKey")),
            (b"<Error xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n  <Code> AccessDenied </Code></Error>", Some("AccessDenied")),
            (b"<html><code>NoSuchKey</code></html>", None),
            (b"<Code>NoSuchKey</Code>", None),
            (b"<Error><Code></Code></Error>", None),
            (b"<Error><Code>No<b>SuchKey</Code></Error>", None),
            (b"<Error><Code>NoSuchKey", None),
            (b"\xff<Error><Code>NoSuchKey</Code></Error>", None),
            (b"", None),
        ] {
            assert_eq!(error_code(body), code, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_document_of_ours_is_one_that_we_can_read_and_nothing_breaks_out_of_it() {
        let document = error_document("OriginTimeout", "x", "/</Resource><Code>Evil</Code>&");
        assert_eq!(error_code(&document), Some("OriginTimeout"));
        assert!(!String::from_utf8(document).unwrap().contains("Evil</Code>"));
        assert_eq!(error_code(&no_such_key(&Key::from_path(b"a<b").unwrap())), Some("NoSuchKey"));
    }

    #[test]
    fn the_answer_to_a_put_says_stored_exists_retry_or_rejected() {
        let read = |status| read_put(&Response { status, headers: Headers::default(), body: Vec::new() });
        assert_eq!([200, 204].map(read), [Put::Stored; 2]);
        assert_eq!([304, 412].map(read), [Put::Exists; 2]);
        assert_eq!([409, 500, 503, 504].map(read), [409, 500, 503, 504].map(Put::Retry));
        assert_eq!([0, 302, 400, 403, 404, 411].map(read), [0, 302, 400, 403, 404, 411].map(Put::Rejected));
    }
}

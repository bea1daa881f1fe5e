//! The conditional writes of a fill: a PUT, and the completion of an upload.

use super::{Answer, Probe, Report, Request};
use mirror_on_miss::object::key::RESERVED;
use percent_encoding::utf8_percent_encode;

/// The smallest part that S3 takes, but for the last one
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>).
const PART: usize = 5 * 1024 * 1024;

const IF_NONE_MATCH: &str = "if-none-match: *";

/// Headers that forbid to overwrite at other stores, with the value `true`.
const OTHERS: [&str; 3] = ["x-cos-forbid-overwrite", "x-oss-forbid-overwrite", "x-tos-forbid-overwrite"];

/// The store's regard for a condition.
#[derive(Clone, Copy, Default)]
pub struct Conditions {
    /// `If-None-Match: *` of a PUT, and of the completion of an upload.
    put: bool,
    complete: bool,
    /// Another header that keeps a PUT from overwriting.
    other: Option<&'static str>,
}

impl Conditions {
    /// Returns the value of `IF_NONE_MATCH`.
    pub fn setting(self) -> &'static str {
        match self {
            Self { put: true, complete: true, .. } => "true",
            Self { other: Some(header), .. } => header,
            _ => "false",
        }
    }
}

impl Probe {
    /// Finds out which conditions the store honours.
    pub fn conditions(&self, report: &mut Report) -> Result<Conditions, String> {
        let mut found = Conditions::default();
        let mut first = self.put("plain", &[IF_NONE_MATCH], b"first")?;
        if matches!(first.status, 400 | 501) {
            report.note(&format!("PUT with If-None-Match is {}", first.shown()));
            first = self.put("plain", &[], b"first")?;
        }
        if !first.is_done() {
            report.bad(&format!("PUT of a new key is {}: the writer needs s3:PutObject", first.shown()));
            return Ok(found);
        }
        report.good(&format!("PUT of a new key is {}", first.status));
        let second = self.put("plain", &[IF_NONE_MATCH], b"second")?;
        let kept = self.get("plain")?;
        found.put = is_refused(&second) && !(kept.is_done() && kept.body != b"first");
        match found.put {
            true => report.good(&format!("PUT with If-None-Match over an object is {}", second.shown())),
            false => {
                report.note(&format!("PUT with If-None-Match over an object is {}: it is ignored", second.shown()))
            }
        }
        for header in OTHERS.into_iter().filter(|_| !found.put) {
            let answer = self.put("plain", &[&format!("{header}: true")], b"third")?;
            if answer.status == 409 && answer.code() == Some("FileAlreadyExists") {
                report.good(&format!("PUT with {header} over an object is {}", answer.shown()));
                found.other = Some(header);
                break;
            }
        }
        self.uploads(report, &mut found)?;
        Ok(found)
    }

    fn uploads(&self, report: &mut Report, found: &mut Conditions) -> Result<(), String> {
        let part = vec![b'm'; PART];
        let Some((first, _)) = self.upload(report, "large", &[&part, b"n"], &[])? else { return Ok(()) };
        if !is_completed(&first) {
            report.bad(&format!("completing an upload is {}", first.shown()));
            return Ok(());
        }
        let head = self.store.send(Request { method: "HEAD", key: &self.key("large"), ..Request::default() })?;
        let length = PART.saturating_add(1).to_string();
        match (head.is_done(), head.header("content-length")) {
            (true, Some(found)) if found != length => {
                report.bad(&format!("an upload of {length} bytes has {found} at the store"));
                return Ok(());
            }
            _ => report.good("an upload of a part of 5 MiB and a byte is completed"),
        }
        let Some((second, id)) = self.upload(report, "large", &[b"n"], &[IF_NONE_MATCH])? else { return Ok(()) };
        found.complete = !is_completed(&second) && (is_refused(&second) || second.code() == Some("PreconditionFailed"));
        match (found.complete, second.status) {
            (true, _) => report.good(&format!("completing with If-None-Match over an object is {}", second.shown())),
            (false, 404) => report.note("completing an upload over an object is 404: the upload has gone"),
            (false, _) => report
                .note(&format!("completing with If-None-Match over an object is {}: it is ignored", second.shown())),
        }
        self.abort("large", &id)?;
        if let Some((small, id)) = self.upload(report, "small-parts", &[b"m", b"n"], &[])? {
            match is_completed(&small) {
                true => report.note("parts below 5 MiB are taken: no multipart minimum"),
                false => report.good(&format!("parts below 5 MiB are refused: {}", small.shown())),
            }
            self.abort("small-parts", &id)?;
        }
        Ok(())
    }

    /// Uploads parts and completes them. Returns the answer and the upload's id, or `None` where a step before failed.
    fn upload(
        &self,
        report: &mut Report,
        name: &str,
        parts: &[&[u8]],
        headers: &[&str],
    ) -> Result<Option<(Answer, String)>, String> {
        let key = self.key(name);
        let post = Request { method: "POST", key: &key, query: "uploads=", headers: &[], body: Some(b"") };
        let created = self.store.send(post)?;
        let document = String::from_utf8_lossy(&created.body).into_owned();
        let id = document.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</UploadId>"));
        let Some((id, _)) = id.filter(|_| created.is_done()) else {
            report.bad(&format!("beginning an upload is {}", created.shown()));
            return Ok(None);
        };
        let id = format!("uploadId={}", utf8_percent_encode(id, RESERVED));
        let mut listed = String::new();
        for (number, part) in (1_u32..).zip(parts) {
            let query = format!("partNumber={number}&{id}");
            let put = Request { method: "PUT", key: &key, query: &query, headers: &[], body: Some(part) };
            let stored = self.store.send(put)?;
            let Some(etag) = stored.header("etag").filter(|_| stored.is_done()) else {
                report.bad(&format!("storing a part of {} bytes is {}", part.len(), stored.shown()));
                self.abort(name, &id)?;
                return Ok(None);
            };
            listed.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
        }
        let document = format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>");
        let headers = [&["content-type: application/xml"][..], headers].concat();
        let body = Some(document.as_bytes());
        self.written.borrow_mut().push(key.clone());
        let completed = self.store.send(Request { method: "POST", key: &key, query: &id, headers: &headers, body })?;
        Ok(Some((completed, id)))
    }

    /// Aborts an upload. One that was completed is not there any more.
    fn abort(&self, name: &str, id: &str) -> Result<Answer, String> {
        self.store.send(Request { method: "DELETE", key: &self.key(name), query: id, ..Request::default() })
    }
}

/// Tells if a write was refused because an object is there. R2 says 304.
fn is_refused(answer: &Answer) -> bool {
    matches!(answer.status, 304 | 409 | 412)
}

/// Tells if an upload was completed: a 200 may hold an error.
fn is_completed(answer: &Answer) -> bool {
    answer.is_done() && answer.code().is_none()
}

//! The one table from an outcome to the client's answer.

use crate::config::rule::{Mirror, OnWait, TooLarge};
use crate::fill::Outcome;
use crate::http::{Body, Method};
use crate::object::Representation;
use crate::request::denial::Denial;
use crate::request::passing::{RangeRequest, Wanted};
use crate::request::precondition::Precondition;
use crate::request::target::Target;
use crate::s3::xml;
use std::rc::Rc;

/// The header that names the outcome, on every answer that the filter made or changed.
pub const OUTCOME_HEADER: &str = "x-mirror-on-miss";

/// The header of S3's with the request's id, which the access log has, too
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/RESTCommonResponseHeaders.html>).
const REQUEST_ID: &str = "x-amz-request-id";

/// Seconds until the next attempt after an origin failed, or while a fill goes on.
pub const RETRY_AFTER_FAILURE: &str = "5";
/// Seconds until there may be room for another fill.
const RETRY_AFTER_BUSY: &str = "1";

/// The facts of a request that its answer depends on.
#[derive(Clone, Copy, Debug)]
pub struct ReplyContext<'a> {
    pub target: &'a Target,
    /// The index of the origin that was asked last, in the rule.
    pub origin: usize,
    pub denial: Denial,
    pub precondition: &'a Precondition,
    pub range: Option<&'a RangeRequest>,
    /// The request's id; empty if it has none.
    pub request_id: &'a str,
    /// The bucket's own body, if it sent one, can still be passed on.
    pub body_kept: bool,
}

/// The answer to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer of the filter's own.
    Local(LocalReply),
    /// The bucket's answer, with [`OUTCOME_HEADER`].
    Tagged(&'static str),
    /// The bucket's answer.
    Untouched,
}

/// An answer of the filter's own. It has no header of the bucket or the origin that is not named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    pub status: u16,
    /// Lower-case names.
    pub headers: Vec<(&'static str, String)>,
    /// `None` for HEAD, which has no content. Its length is not set to 0 either, because pyarrow would believe that.
    pub body: Option<Body>,
}

/// Makes the answer. `location` is the place of the object once it is stored.
pub fn reply(outcome: &Outcome, asked: ReplyContext<'_>, mirror: &Mirror, location: String) -> Reply {
    let reply = match look_up(outcome, asked, mirror, location) {
        // The bucket may have what no origin gave in its place, so its own answer says more. The other two are about what one gave.
        Reply::Local(made)
            if asked.denial == Denial::Unavailable && made.status >= 400 && !matches!(made.status, 412 | 416) =>
        {
            if asked.body_kept {
                Reply::Tagged(outcome.label())
            } else {
                untouched(outcome, asked)
            }
        }
        reply => reply,
    };
    with_id(reply, asked.request_id)
}

fn with_id(mut reply: Reply, request_id: &str) -> Reply {
    if let Reply::Local(made) = &mut reply
        && !request_id.is_empty()
    {
        made.headers.push((REQUEST_ID, request_id.to_owned()));
    }
    reply
}

/// Looks up the answer in the table.
fn look_up(outcome: &Outcome, asked: ReplyContext<'_>, mirror: &Mirror, location: String) -> Reply {
    let target = asked.target;
    // Only the bucket knows parts: the whole object is no answer for one, wherever it comes from.
    let whole = !target.is_part();
    let outcome = match outcome {
        Outcome::Head { .. } | Outcome::Served(_) if !whole => &Outcome::Filling,
        other => other,
    };
    let public_location =
        || mirror.public_location_of(asked.origin, target.origin_key(), target.query()).filter(|_| whole);
    let error = |status, code, message, retry_after: Option<&str>| {
        error_reply(outcome.label(), asked, status, code, message, retry_after)
    };
    match outcome {
        // The bucket decides who may read it.
        Outcome::Exists | Outcome::Stored => redirect(outcome, target, location),
        Outcome::OriginRedirect { status, .. } => redirect_with(*status, outcome, target, location),
        Outcome::Broken(_) | Outcome::Forbidden | Outcome::Loop => untouched(outcome, asked),
        Outcome::BucketUnavailable => unavailable(outcome.label(), asked),
        Outcome::NotFound if asked.denial == Denial::NotFound && asked.body_kept => Reply::Tagged(outcome.label()),
        Outcome::NotFound => no_such_key(outcome.label(), asked),
        Outcome::Served(object) | Outcome::Private(Some(object)) | Outcome::NotStored { object: Some(object), .. }
            if whole =>
        {
            serve(outcome, asked, &object.representation(), Some(&object.body))
        }
        Outcome::Passed(object) if target.method == Method::Head => {
            serve(outcome, asked, &object.representation(), None)
        }
        // The marker is in the location.
        Outcome::Passed(_) => redirect(outcome, target, location),
        Outcome::Head { metadata, length, etag } => {
            let etag = etag.map(|etag| etag.to_string());
            serve(outcome, asked, &Representation { metadata, etag, length: *length }, None)
        }
        Outcome::NotStored { .. } => match public_location() {
            Some(location) => redirect(outcome, target, location),
            None => error(502, "ServiceUnavailable", "The object cannot be stored.", Some(RETRY_AFTER_FAILURE)),
        },
        Outcome::Private(_) => match public_location() {
            Some(location) => redirect(outcome, target, location),
            None => error(502, "OriginPrivate", "The origin does not let the object be stored.", None),
        },
        Outcome::OriginRefused { .. } => error(502, "OriginRefused", "The origin refused to give the object.", None),
        Outcome::Corrupt(_) => {
            error(502, "OriginCorrupt", "The origin gave another object than it announced.", Some(RETRY_AFTER_FAILURE))
        }
        Outcome::OriginBusy { seconds } => {
            let seconds = seconds.to_string();
            error(502, "OriginUnavailable", "The origin failed to give the object.", Some(&seconds))
        }
        Outcome::OriginUnavailable(_) => {
            error(502, "OriginUnavailable", "The origin failed to give the object.", Some(RETRY_AFTER_FAILURE))
        }
        Outcome::OriginTimeout => {
            error(504, "OriginTimeout", "The origin did not answer in time.", Some(RETRY_AFTER_FAILURE))
        }
        Outcome::TooLarge => match public_location() {
            Some(location) if mirror.too_large == TooLarge::Origin => redirect(outcome, target, location),
            _ => error(502, "EntityTooLarge", "The object cannot be mirrored.", None),
        },
        Outcome::WrongType => {
            error(502, "OriginWrongType", "The origin gave something of a type that is not mirrored.", None)
        }
        Outcome::Filling | Outcome::Origin | Outcome::Served(_) => match public_location() {
            Some(location) if !matches!(outcome, Outcome::Filling) || mirror.on_wait == OnWait::Origin => {
                redirect(outcome, target, location)
            }
            _ => error(503, "ServiceUnavailable", "The object is still being stored.", Some(RETRY_AFTER_FAILURE)),
        },
        Outcome::Busy(_) => error(503, "SlowDown", "Please reduce your request rate.", Some(RETRY_AFTER_BUSY)),
    }
}

fn redirect(outcome: &Outcome, target: &Target, location: String) -> Reply {
    redirect_with(302, outcome, target, location)
}

fn redirect_with(status: u16, outcome: &Outcome, target: &Target, location: String) -> Reply {
    // There is room for three more: the outcome, the length and the request's id.
    let mut headers = Vec::with_capacity(5);
    headers.extend([("location", location), ("cache-control", "no-store".to_owned())]);
    made(outcome.label(), target, status, headers, Vec::new())
}

fn error_reply(
    label: &str,
    asked: ReplyContext<'_>,
    status: u16,
    code: &str,
    message: &str,
    retry_after: Option<&str>,
) -> Reply {
    let mut headers = xml_headers();
    headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_owned())));
    let document = xml::error_document(code, message, asked.target.path(), asked.request_id);
    made(label, asked.target, status, headers, document)
}

/// Answers a request that was to be passed to an origin.
pub fn stream_error(
    target: &Target,
    request_id: &str,
    (status, label, code, message): (u16, &str, &str, &str),
    retry_after: Option<&str>,
) -> LocalReply {
    of_stream(target, request_id, |asked| error_reply(label, asked, status, code, message, retry_after))
}

/// Answers one that gets nothing of the object: 304, 412 or 416.
pub fn stream_refusal(
    status: u16,
    label: &str,
    target: &Target,
    request_id: &str,
    object: &Representation<'_>,
) -> LocalReply {
    of_stream(target, request_id, |asked| refused(status, label, asked, object))
}

fn of_stream(target: &Target, request_id: &str, make: impl FnOnce(ReplyContext<'_>) -> Reply) -> LocalReply {
    let (denial, precondition) = (Denial::NotFound, &Precondition::None);
    let asked = ReplyContext { target, origin: 0, denial, precondition, range: None, request_id, body_kept: false };
    match with_id(make(asked), request_id) {
        Reply::Local(reply) => reply,
        Reply::Tagged(_) | Reply::Untouched => LocalReply { status: 500, headers: Vec::new(), body: None },
    }
}

fn unavailable(label: &str, asked: ReplyContext<'_>) -> Reply {
    let message = "The bucket cannot be asked whether it has the object.";
    error_reply(label, asked, 503, "ServiceUnavailable", message, Some(RETRY_AFTER_FAILURE))
}

fn no_such_key(label: &str, asked: ReplyContext<'_>) -> Reply {
    made(label, asked.target, 404, xml_headers(), xml::no_such_key(&asked.target.key, asked.request_id))
}

fn xml_headers() -> Vec<(&'static str, String)> {
    vec![("content-type", "application/xml".to_owned()), ("cache-control", "no-store".to_owned())]
}

/// Returns the bucket's answer. If its body is lost, S3's own words replace it.
fn untouched(outcome: &Outcome, asked: ReplyContext<'_>) -> Reply {
    if asked.body_kept {
        return match outcome {
            // The filter knows more than the bucket says: the object may be there in a moment.
            Outcome::Broken(_) | Outcome::Loop => Reply::Tagged(outcome.label()),
            _ => Reply::Untouched,
        };
    }
    let label = match asked.denial {
        Denial::BadRequest => "bad_request",
        Denial::Deleted => "deleted",
        Denial::Forbidden | Denial::NotFound | Denial::Unavailable => outcome.label(),
    };
    match asked.denial {
        Denial::BadRequest => error_reply(label, asked, 400, "InvalidRequest", "Bad Request", None),
        Denial::Forbidden => error_reply(label, asked, 403, "AccessDenied", "Access Denied", None),
        Denial::Deleted | Denial::NotFound => no_such_key(label, asked),
        Denial::Unavailable => unavailable(label, asked),
    }
}

/// Makes an answer of the object itself, or of its headers alone. The range is for a GET (RFC 9110, 14.2).
fn serve(outcome: &Outcome, asked: ReplyContext<'_>, object: &Representation<'_>, body: Option<&Body>) -> Reply {
    let label = outcome.label();
    if let Some(status) = asked.precondition.refuses(object.etag.as_deref(), object.modified()) {
        return refused(status, label, asked, object);
    }
    let body = body.filter(|_| asked.target.method != Method::Head);
    let range = asked.range.zip(object.length).filter(|_| body.is_some());
    let wanted = range.map(|(range, total)| range.wanted(object.etag.as_deref(), total));
    let mut headers = object.headers();
    headers.push((OUTCOME_HEADER, label.to_owned()));
    let part = match (wanted, body) {
        (Some(Wanted::Unsatisfiable), _) => return refused(416, label, asked, object),
        (Some(Wanted::Range(first, last)), Some(body)) => part(body, first, last).map(|part| (part, first, last)),
        _ => None,
    };
    let (status, body, length) = match part {
        Some((part, first, last)) => {
            headers.push(("content-range", format!("bytes {first}-{last}/{}", object.length.unwrap_or_default())));
            let length = last.saturating_sub(first).saturating_add(1);
            (206, Some(Rc::new(part)), Some(length))
        }
        None => (200, body.cloned(), object.length),
    };
    headers.extend(length.map(|length| ("content-length", length.to_string())));
    Reply::Local(LocalReply { status, headers, body })
}

/// Copies bytes of a body, both ends inclusive.
fn part(body: &Body, first: u64, last: u64) -> Option<Vec<u8>> {
    let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
    body.get(first..=last).map(<[u8]>::to_vec)
}

/// Answers a client that gets nothing of an object: 304, 412 or 416.
#[inline(never)]
fn refused(status: u16, label: &str, asked: ReplyContext<'_>, object: &Representation<'_>) -> Reply {
    match status {
        304 => {
            let mut headers = object.headers_not_modified();
            headers.push((OUTCOME_HEADER, label.to_owned()));
            Reply::Local(LocalReply { status, headers, body: None })
        }
        412 => {
            let message = "At least one of the pre-conditions you specified did not hold";
            error_reply(label, asked, status, "PreconditionFailed", message, None)
        }
        _ => {
            let mut reply = error_reply(label, asked, status, "InvalidRange", "The object has no such bytes.", None);
            if let Reply::Local(made) = &mut reply {
                made.headers.push(("content-range", format!("bytes */{}", object.length.unwrap_or_default())));
            }
            reply
        }
    }
}

fn made(label: &str, target: &Target, status: u16, mut headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Reply {
    headers.push((OUTCOME_HEADER, label.to_owned()));
    if target.method == Method::Head {
        return Reply::Local(LocalReply { status, headers, body: None });
    }
    headers.push(("content-length", body.len().to_string()));
    Reply::Local(LocalReply { status, headers, body: Some(Rc::new(body)) })
}

#[cfg(test)]
mod tests;

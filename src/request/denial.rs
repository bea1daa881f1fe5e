//! The bucket's denials, and the judgement that tells a miss from other errors.
//!
//! A bucket that fails denies, too. A miss that is not, but its origin may serve in its place (`rules[].on_5xx`).

use crate::config::rule::On403;

/// The bucket's answers that may be misses. `envoy/configuration/edge.yaml` names the same statuses: the filter sees no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denial {
    /// 400. Some stores say it of a key that they cannot hold.
    BadRequest,
    /// 404 for an object that the bucket says was deleted.
    Deleted,
    /// 403.
    Forbidden,
    NotFound,
    /// 500, 502, 503 or 504: the bucket's own, or Envoy's of a bucket that cannot be reached or is silent.
    Unavailable,
}

/// The header that says, with the value `true`, that an object was deleted from a versioned bucket:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>.
pub const DELETE_MARKER: &str = "x-amz-delete-marker";

impl Denial {
    /// Reads a status. `None` for every status that is never a miss. `header` looks up a header of the answer.
    pub fn of(status: &[u8], header: impl Fn(&str) -> Option<Vec<u8>>) -> Option<Self> {
        match status {
            b"400" => Some(Self::BadRequest),
            b"403" => Some(Self::Forbidden),
            b"404" if header(DELETE_MARKER).is_some_and(|value| value == b"true") => Some(Self::Deleted),
            b"404" => Some(Self::NotFound),
            b"500" | b"502" | b"503" | b"504" => Some(Self::Unavailable),
            _ => None,
        }
    }

    /// Tells if the bucket gave the answer, and not a filter behind this one, such as RBAC. `details` are Envoy's
    /// `response.code_details`.
    ///
    /// The router makes the answer of a bucket that refuses, resets or says nothing. It makes the one of an edge that is full,
    /// too: that says nothing about the bucket.
    pub fn is_by_bucket(self, details: Option<&[u8]>) -> bool {
        // `ResponseCodeDetails` in Envoy's `stream_info.h`.
        match details {
            None | Some(b"via_upstream") => true,
            // A route that keeps a request from the bucket says that, and nobody else: the others have no filter, or no 404.
            Some(b"direct_response") => self == Self::NotFound,
            Some(b"no_healthy_upstream") => self == Self::Unavailable,
            Some(details) => {
                self == Self::Unavailable && details.starts_with(b"upstream_") && !details.ends_with(b"{overflow}")
            }
        }
    }
}

/// The meaning of a [`Denial`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bucket, its credentials or its clock are broken; a fill would not help.
    BucketError,
    /// A miss, if the bucket does not have the object when it is asked with the writer's credential.
    Check,
    /// A deletion on purpose.
    Deleted,
    /// A miss, to be filled.
    Miss,
    /// A key that the bucket cannot hold: the client gets the origin's object, and nothing is stored.
    Unstorable,
    /// A denial that stands: the client may not have the object, or its request is wrong.
    Untouched,
}

/// Judges a denial by its S3 error code, or by its status where no code can be read: HEAD has no error document, and
/// a website endpoint answers in HTML. `is_plain` says that every store can hold the key.
///
/// S3's codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>. Of those that come with 403 or
/// 404 only `NoSuchKey` and `AccessDenied` can mean that the object is missing. `XMinioInvalidObjectName` is MinIO's.
pub fn judge(denial: Denial, code: Option<&str>, is_plain: bool, on_403: On403) -> Verdict {
    match (denial, code) {
        (Denial::Deleted, None | Some("NoSuchKey")) => Verdict::Deleted,
        (Denial::NotFound, None | Some("NoSuchKey")) => Verdict::Miss,
        (Denial::Forbidden, None | Some("AccessDenied")) => match on_403 {
            On403::Check => Verdict::Check,
            On403::Ignore => Verdict::Untouched,
            On403::Miss => Verdict::Miss,
        },
        (Denial::BadRequest, Some("KeyTooLongError" | "XMinioInvalidObjectName")) => Verdict::Unstorable,
        (Denial::BadRequest, None) if !is_plain => Verdict::Unstorable,
        (Denial::BadRequest, _) => Verdict::Untouched,
        (Denial::Unavailable, _) => Verdict::Miss,
        _ => Verdict::BucketError,
    }
}

/// Finds the denial that each request of the bucket gets while an error lasts. `None` for an error of one object or of one
/// request. The codes are from the same list.
pub fn outlasts_its_request(code: &str) -> Option<Denial> {
    match code {
        "NoSuchBucket" => Some(Denial::NotFound),
        "AccountProblem"
        | "AllAccessDisabled"
        | "InvalidAccessKeyId"
        | "InvalidSecurity"
        | "NotSignedUp"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch" => Some(Denial::Forbidden),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nosuchkey_and_accessdenied_can_be_misses() {
        use Denial::{BadRequest, Deleted, Forbidden, NotFound};
        for (denial, code, verdict) in [
            (NotFound, Some("NoSuchKey"), Verdict::Miss),
            (NotFound, None, Verdict::Miss),
            (NotFound, Some("NoSuchBucket"), Verdict::BucketError),
            (NotFound, Some("NoSuchVersion"), Verdict::BucketError),
            (Deleted, Some("NoSuchKey"), Verdict::Deleted),
            (Deleted, None, Verdict::Deleted),
            (Deleted, Some("NoSuchBucket"), Verdict::BucketError),
            (BadRequest, Some("KeyTooLongError"), Verdict::Unstorable),
            (BadRequest, Some("XMinioInvalidObjectName"), Verdict::Unstorable),
            (BadRequest, Some("InvalidArgument"), Verdict::Untouched),
            (BadRequest, None, Verdict::Untouched),
            (Forbidden, Some("AccessDenied"), Verdict::Check),
            (Forbidden, None, Verdict::Check),
            (Forbidden, Some("InvalidAccessKeyId"), Verdict::BucketError),
            (Forbidden, Some("SignatureDoesNotMatch"), Verdict::BucketError),
            (Forbidden, Some("RequestTimeTooSkewed"), Verdict::BucketError),
            (Forbidden, Some("InvalidObjectState"), Verdict::BucketError),
        ] {
            assert_eq!(judge(denial, code, true, On403::Check), verdict, "{denial:?} {code:?}");
        }
        assert_eq!(judge(Forbidden, Some("AccessDenied"), true, On403::Miss), Verdict::Miss);
        assert_eq!(judge(Forbidden, Some("AccessDenied"), true, On403::Ignore), Verdict::Untouched);
        assert_eq!(judge(Forbidden, Some("SignatureDoesNotMatch"), true, On403::Miss), Verdict::BucketError);
    }

    #[test]
    fn a_400_without_a_word_is_about_a_key_that_not_every_store_can_hold() {
        assert_eq!(judge(Denial::BadRequest, None, false, On403::Check), Verdict::Unstorable);
        assert_eq!(judge(Denial::BadRequest, Some("InvalidArgument"), false, On403::Check), Verdict::Untouched);
    }

    #[test]
    fn other_statuses_are_never_a_miss() {
        for status in ["200", "206", "301", "304", "401", "405", "416", "501", "505", "", "4040"] {
            assert_eq!(Denial::of(status.as_bytes(), |_| Some(b"true".into())), None);
        }
    }

    #[test]
    fn an_answer_is_the_buckets_where_it_came_from_there_or_tells_of_it() {
        let reset = |reason: &str| format!("upstream_reset_before_response_started{{{reason}}}");
        for (details, any, unavailable) in [
            ("via_upstream", true, true),
            ("direct_response", true, false),
            ("no_healthy_upstream", false, true),
            ("upstream_per_try_timeout", false, true),
            ("upstream_response_timeout", false, true),
            (&reset("connection_termination"), false, true),
            (&reset("remote_connection_failure|delayed_connect_error:_Connection_refused"), false, true),
            (&reset("overflow"), false, false),
            ("rbac_access_denied_matched_policy[none]", false, false),
            ("cluster_not_found", false, false),
            ("stream_idle_timeout", false, false),
        ] {
            let details = Some(details.as_bytes());
            assert_eq!(Denial::NotFound.is_by_bucket(details), any, "{details:?}");
            assert_eq!(Denial::Unavailable.is_by_bucket(details), unavailable, "{details:?}");
        }
        assert!(!Denial::Forbidden.is_by_bucket(Some(b"direct_response")));
        assert!(Denial::Forbidden.is_by_bucket(None) && Denial::Unavailable.is_by_bucket(None));
    }

    #[test]
    fn a_bucket_that_fails_is_told_by_its_status_whatever_it_says() {
        for status in ["500", "502", "503", "504"] {
            assert_eq!(Denial::of(status.as_bytes(), |_| None), Some(Denial::Unavailable));
        }
        for code in [None, Some("SlowDownRead"), Some("InternalError")] {
            assert_eq!(judge(Denial::Unavailable, code, true, On403::Check), Verdict::Miss);
        }
    }

    #[test]
    fn a_404_with_a_delete_marker_is_no_other_404() {
        let denial = |value: Option<&str>| {
            Denial::of(b"404", |name| value.filter(|_| name == "x-amz-delete-marker").map(|value| value.into()))
        };
        assert_eq!(denial(Some("true")), Some(Denial::Deleted));
        assert_eq!([None, Some("false"), Some("")].map(denial), [Some(Denial::NotFound); 3]);
        assert_eq!(Denial::of(b"403", |_| Some(b"true".into())), Some(Denial::Forbidden));
    }

    #[test]
    fn only_errors_of_the_bucket_or_its_reader_outlast_their_request() {
        assert_eq!(outlasts_its_request("NoSuchBucket"), Some(Denial::NotFound));
        assert_eq!(outlasts_its_request("SignatureDoesNotMatch"), Some(Denial::Forbidden));
        for code in ["AccessDenied", "InvalidObjectState", "NoSuchKey", "NoSuchVersion", ""] {
            assert_eq!(outlasts_its_request(code), None, "{code}");
        }
    }

    #[test]
    fn a_400_is_a_bad_request() {
        assert_eq!(Denial::of(b"400", |_| None), Some(Denial::BadRequest));
    }
}

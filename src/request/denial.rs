//! The bucket's denials, and the judgement that tells a miss from other errors.

use crate::config::rule::On403;

/// The bucket's answers that may be misses. `envoy/configuration/edge.yaml` names the same ones: the filter sees no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    Forbidden,
    NotFound,
}

impl Denial {
    /// Reads a status. `None` for every status that is never a miss.
    pub fn from_status(status: &[u8]) -> Option<Self> {
        match status {
            b"403" => Some(Self::Forbidden),
            b"404" => Some(Self::NotFound),
            _ => None,
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
    /// A miss, to be filled.
    Miss,
    /// A denial that stands: the client may not have the object.
    Untouched,
}

/// Judges a denial by its S3 error code, or by its status where no code can be read: HEAD has no error document, and
/// a website endpoint answers in HTML.
///
/// S3's codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>. Of those that come with 403 or
/// 404 only `NoSuchKey` and `AccessDenied` can mean that the object is missing.
pub fn judge(denial: Denial, code: Option<&str>, on_403: On403) -> Verdict {
    match (denial, code) {
        (Denial::NotFound, None | Some("NoSuchKey")) => Verdict::Miss,
        (Denial::Forbidden, None | Some("AccessDenied")) => match on_403 {
            On403::Check => Verdict::Check,
            On403::Ignore => Verdict::Untouched,
            On403::Miss => Verdict::Miss,
        },
        _ => Verdict::BucketError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nosuchkey_and_accessdenied_can_be_misses() {
        use Denial::{Forbidden, NotFound};
        for (denial, code, verdict) in [
            (NotFound, Some("NoSuchKey"), Verdict::Miss),
            (NotFound, None, Verdict::Miss),
            (NotFound, Some("NoSuchBucket"), Verdict::BucketError),
            (NotFound, Some("NoSuchVersion"), Verdict::BucketError),
            (Forbidden, Some("AccessDenied"), Verdict::Check),
            (Forbidden, None, Verdict::Check),
            (Forbidden, Some("InvalidAccessKeyId"), Verdict::BucketError),
            (Forbidden, Some("SignatureDoesNotMatch"), Verdict::BucketError),
            (Forbidden, Some("RequestTimeTooSkewed"), Verdict::BucketError),
            (Forbidden, Some("InvalidObjectState"), Verdict::BucketError),
        ] {
            assert_eq!(judge(denial, code, On403::Check), verdict, "{denial:?} {code:?}");
        }
        assert_eq!(judge(Forbidden, Some("AccessDenied"), On403::Miss), Verdict::Miss);
        assert_eq!(judge(Forbidden, Some("AccessDenied"), On403::Ignore), Verdict::Untouched);
        assert_eq!(judge(Forbidden, Some("SignatureDoesNotMatch"), On403::Miss), Verdict::BucketError);
    }

    #[test]
    fn other_statuses_are_never_a_miss() {
        for status in ["200", "206", "301", "304", "400", "401", "405", "416", "500", "503", "", "4040"] {
            assert_eq!(Denial::from_status(status.as_bytes()), None);
        }
    }
}

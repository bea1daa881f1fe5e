//! What must not get where others can read it. Tests put these marks into whatever is confidential.

use super::headers::Headers;

/// Part of every value that no log line may have.
pub const SECRET: &str = "s3cr3t";

/// Part of every value that only the bucket may have, beside its client. A [`SECRET`] too.
pub const CLIENT_SECRET: &str = "s3cr3t-of-the-client";

/// The first of these lines that tells a secret.
pub fn told(lines: &[String]) -> Option<&str> {
    lines.iter().map(String::as_str).find(|line| line.contains(SECRET))
}

/// The first of these headers that has a client's secret.
pub fn passed_on(headers: &Headers) -> Option<&str> {
    headers.iter().find(|(_, value)| String::from_utf8_lossy(value).contains(CLIENT_SECRET)).map(|(name, _)| name)
}

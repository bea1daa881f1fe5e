//! Secrets, which must not get where others can read them. Tests put these texts into every confidential value.

use super::headers::Headers;

/// A part of every value that no log line may have.
pub const SECRET: &str = "s3cr3t";

/// A part of every value that only the bucket may have, beside its client. It contains [`SECRET`], too.
pub const CLIENT_SECRET: &str = "s3cr3t-of-the-client";

/// Finds the first of these lines that has a secret.
pub fn told(lines: &[String]) -> Option<&str> {
    lines.iter().map(String::as_str).find(|line| line.contains(SECRET))
}

/// Finds the first of these headers that has a client's secret.
pub fn passed_on(headers: &Headers) -> Option<&str> {
    headers.iter().find(|(_, value)| String::from_utf8_lossy(value).contains(CLIENT_SECRET)).map(|(name, _)| name)
}

//! Requests to the bucket that is probed, by `curl`: it signs, and it brings TLS and the authorities of the machine.
//!
//! A library for TLS needs a compiler for C, and the command is linked for two processors without one. The credential
//! goes to `curl` by its standard input, so no other user of the machine sees it among the arguments.

use super::super::container::Directory;
use super::Options;
use mirror_on_miss::object::key::RESERVED;
use mirror_on_miss::s3::xml;
use percent_encoding::utf8_percent_encode;
use std::io::Write;
use std::process::{Command, Stdio};

/// A bucket, and the credential by which it is asked.
pub struct Store {
    /// The URL to which a key is added.
    base: String,
    region: String,
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
    ca_file: Option<String>,
    /// Bodies on their way to `curl`, and from it.
    directory: Directory,
}

/// A request, without its credential.
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    pub method: &'a str,
    pub key: &'a str,
    /// In the canonical encoding.
    pub query: &'a str,
    /// Headers as `name: value`.
    pub headers: &'a [&'a str],
    pub body: Option<&'a [u8]>,
}

/// An answer of the store.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: String,
    pub body: Vec<u8>,
}

impl Store {
    /// Takes the credential from the environment, as AWS's own programs do.
    pub fn new(options: &Options, virtual_hosted: bool) -> Result<Self, String> {
        let required =
            |name| variable(name).ok_or_else(|| format!("{name} is not set: probe asks with your credential"));
        let (store, bucket) = (options.store.trim_end_matches('/'), &options.bucket);
        let (scheme, host) = store
            .split_once("://")
            .filter(|(scheme, host)| {
                matches!(*scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', '@', '?'])
            })
            .ok_or_else(|| {
                format!("{store} is not allowed as STORE; allowed is https://HOST[:PORT] or http://HOST[:PORT]")
            })?;
        let base = if virtual_hosted { format!("{scheme}://{bucket}.{host}") } else { format!("{store}/{bucket}") };
        Ok(Self {
            base,
            region: variable("AWS_REGION").unwrap_or("us-east-1".to_owned()),
            access_key: required("AWS_ACCESS_KEY_ID")?,
            secret_key: required("AWS_SECRET_ACCESS_KEY")?,
            session_token: variable("AWS_SESSION_TOKEN"),
            ca_file: variable("CA_FILE"),
            directory: Directory::new().map_err(|error| format!("cannot write to the temporary directory: {error}"))?,
        })
    }

    /// Sends a request. The error says why there was no answer.
    pub fn send(&self, request: Request<'_>) -> Result<Answer, String> {
        self.send_with(&self.secret_key, request)
    }

    /// Sends a request with a wrong secret.
    pub fn send_wrongly_signed(&self, request: Request<'_>) -> Result<Answer, String> {
        self.send_with("this-is-not-the-secret", request)
    }

    fn send_with(&self, secret_key: &str, request: Request<'_>) -> Result<Answer, String> {
        let at = |name: &str| self.directory.0.join(name);
        let (sent, headers, body) = (at("sent"), at("headers"), at("body"));
        let cannot = |error: std::io::Error| format!("cannot use the temporary directory: {error}");
        let _ = std::fs::remove_file(&body);
        let mut lines = vec![
            format!("user = {}", quoted(&format!("{}:{secret_key}", self.access_key))),
            format!("aws-sigv4 = {}", quoted(&format!("aws:amz:{}:s3", self.region))),
            format!("url = {}", quoted(&self.url(request))),
            format!("output = {}", quoted(&body.to_string_lossy())),
            format!("dump-header = {}", quoted(&headers.to_string_lossy())),
            "header = \"x-amz-content-sha256: UNSIGNED-PAYLOAD\"".to_owned(),
        ];
        let token = self.session_token.iter().map(|token| format!("x-amz-security-token: {token}"));
        let own = request.headers.iter().map(|header| (*header).to_owned());
        lines.extend(token.chain(own).map(|header| format!("header = {}", quoted(&header))));
        lines.extend(self.ca_file.iter().map(|file| format!("cacert = {}", quoted(file))));
        match (request.method, request.body) {
            ("HEAD", _) => lines.push("head".to_owned()),
            ("GET", _) => {}
            (method, content) => {
                std::fs::write(&sent, content.unwrap_or_default()).map_err(cannot)?;
                lines.push(format!("request = {}", quoted(method)));
                lines.push(format!("data-binary = {}", quoted(&format!("@{}", sent.to_string_lossy()))));
                // Else it is that of a form. A header that is taken away would be signed all the same.
                if !request.headers.iter().any(|header| header.starts_with("content-type:")) {
                    lines.push("header = \"content-type: application/octet-stream\"".to_owned());
                }
            }
        }
        let mut curl = Command::new("curl");
        // Of its options only these, whatever the user's own file says.
        curl.args(["-q", "--silent", "--show-error", "--path-as-is", "--connect-timeout", "10", "--max-time", "120"]);
        let mut child = curl
            .args(["--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run curl, by which probe asks: {error}"))?;
        let written = child.stdin.take().map(|mut stdin| stdin.write_all(lines.join("\n").as_bytes()));
        let output = child.wait_with_output().map_err(|error| format!("curl: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            // https://curl.se/libcurl/c/libcurl-errors.html, CURLE_PEER_FAILED_VERIFICATION
            let cure = if output.status.code() == Some(60) { "; CA_FILE names a file with its authority" } else { "" };
            return Err(format!("no answer from {}: {}{cure}", self.base, said.trim()));
        }
        written.transpose().map_err(|error| format!("curl: {error}"))?;
        let headers = std::fs::read_to_string(&headers).map_err(cannot)?;
        Ok(Answer { status: status(&headers), headers, body: std::fs::read(&body).unwrap_or_default() })
    }

    fn url(&self, request: Request<'_>) -> String {
        let path = utf8_percent_encode(request.key, RESERVED).to_string().replace("%2F", "/");
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        format!("{}/{path}{query}", self.base)
    }
}

impl Answer {
    /// The code of an S3 error document.
    pub fn code(&self) -> Option<&str> {
        xml::error_code(&self.body)
    }

    pub fn is_done(&self) -> bool {
        (200..=299).contains(&self.status)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.headers.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next_back()
    }

    /// Its status, with the error's code where there is one.
    pub fn shown(&self) -> String {
        match self.code() {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// Returns the last status: a proxy may have given another one before.
fn status(headers: &str) -> u16 {
    let lines = headers.lines().filter(|line| line.starts_with("HTTP/"));
    let mut numbers = lines.filter_map(|line| line.split_ascii_whitespace().nth(1)?.parse().ok());
    numbers.next_back().unwrap_or_default()
}

/// Quotes a value for `curl`'s file of options.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Looks up a variable; an empty one is not set.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

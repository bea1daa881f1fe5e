//! Targets for everything that reads foreign bytes. A reader never panics, and its result keeps its promises.

use mirror_on_miss::config::{Bucket, Config, Exposed};
use mirror_on_miss::http::{ContentRange, Headers, Response, is_field_value};
use mirror_on_miss::object::integrity::ExpectedDigests;
use mirror_on_miss::object::key::{Key, MAX_NAME_BYTES};
use mirror_on_miss::origin::{self, FetchResult, Span};
use mirror_on_miss::request::target::{self, Target};
use mirror_on_miss::s3;
use mirror_on_miss::single_flight::messages::Message;
use mirror_on_miss::{origin::endpoint::Endpoint, request::forwarded::Forwarded};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use url::Url;

/// The smallest configuration, for readers that need something of it.
const CONFIG: &str = r#"{"bucket": {"cluster": "signer", "authority": "s3.test", "path_prefix": "/b"},
                         "origin": {"cluster": "origin", "authority": "files.test", "path_prefix": "/v1"}}"#;

/// Bytes that the origin is asked for.
const ASKED: u64 = 16;

/// Makes a number of an input's result.
pub fn trace(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Reads the digests of a response's head and body, as they are on the wire. The pieces of the body make no
/// difference.
pub fn announced(input: &[u8]) -> u64 {
    let answer = response(input);
    let total = u64::try_from(answer.body.len()).unwrap();
    let (whole, part) = (ExpectedDigests::read(&answer, total), ExpectedDigests::read(&answer, total + 1));
    let verdict = whole.clone().verify(&answer.body);
    if let Some(mut hasher) = whole.clone().hasher() {
        answer.body.chunks(7).for_each(|piece| hasher.update(piece));
        assert_eq!(hasher.verify(), verdict);
    }
    if let Err(header) = verdict {
        assert!(answer.headers.contains(header), "{header}");
        assert_ne!(whole, ExpectedDigests::default());
    }
    trace((format!("{whole:?}").len() / 16, format!("{part:?}").len() / 16, verdict))
}

/// Reads JSON.
pub fn config(input: &[u8]) -> u64 {
    let parsed = Config::parse(input, &|name| Some(format!("secret of {name}")));
    match &parsed {
        Ok(config) => {
            assert!(!config.rules.is_empty());
            assert!(config.limits.part_size > 0 && config.limits.fills > 0 && config.limits.memory > 0);
            for mirror in config.rules.iter().filter_map(|rule| rule.mirror.as_ref()) {
                assert!(!mirror.origins.is_empty());
                let headers = mirror.origins.iter().flat_map(|origin| &origin.upstream.headers);
                assert!(headers.clone().all(|(_, value)| is_field_value(value)));
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.path.starts_with('$'), "{problem}");
                // A fuzzer that sees comparisons writes the secret itself.
                let is_written = String::from_utf8_lossy(input).contains("secret of ");
                assert!(is_written || !problem.to_string().contains("secret of "), "a secret in {problem}");
            }
        }
    }
    match parsed {
        Ok(config) => trace(format!("{config:?}").len()),
        Err(problems) => trace(problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>()),
    }
}

/// Reads the header's value.
pub fn content_range(input: &[u8]) -> u64 {
    let Some(range) = std::str::from_utf8(input).ok().and_then(ContentRange::parse) else {
        return trace(input.iter().map(u8::is_ascii_digit).collect::<Vec<_>>());
    };
    assert!(range.first <= range.last && range.last < range.total && range.length() <= range.total);
    let written = format!("bytes {}-{}/{}", range.first, range.last, range.total);
    assert_eq!(ContentRange::parse(&written), Some(range));
    trace((range.first.leading_zeros(), range.last.leading_zeros(), range.total.leading_zeros()))
}

/// Reads a bucket's document.
pub fn error_document(input: &[u8]) -> u64 {
    let code = s3::xml::error_code(input);
    if let Some(code) = code {
        assert!(!code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{code}");
    }
    trace(code.map(str::len))
}

/// Reads a path without its first slash. A key has one encoding, which is visible ASCII and leads to the same key.
pub fn key(input: &[u8]) -> u64 {
    let key = match Key::from_path(input) {
        Ok(key) => key,
        Err(not) => return trace(format!("{not:?}")),
    };
    assert!((1..=MAX_NAME_BYTES).contains(&key.as_str().len()));
    assert!(key.as_str().split(['/', '\\']).all(|segment| !matches!(segment, "." | "..")), "{key:?}");
    let encoded = key.encoded().to_string();
    assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\')), "{encoded}");
    assert_eq!(Key::from_path(encoded.as_bytes()), Ok(key.clone()));
    assert_eq!(s3::xml::error_code(&s3::xml::no_such_key(&key, "id")), Some("NoSuchKey"));
    trace((key.as_str().len() / 32, encoded.matches('%').count(), encoded.matches('/').count()))
}

/// Reads another worker's message.
pub fn message(input: &[u8]) -> u64 {
    let message = Message::decode(input);
    if let Some(message) = &message {
        assert_eq!(Message::decode(&message.encode()).as_ref(), Some(message));
    }
    trace(message.map(|message| match message {
        Message::Subscribe { reply_to, .. } => format!("{}", reply_to.leading_zeros()),
        Message::Unsubscribe { reply_to, .. } => format!("no {}", reply_to.leading_zeros()),
        Message::Offered { .. } => "offered".to_owned(),
        Message::Ended { outcome, .. } => format!("{outcome:?}"),
    }))
}

/// Reads an origin's response: head and body, as they are on the wire.
pub fn origin_answer(input: &[u8]) -> u64 {
    let key = Key::from_path(b"a.jpg").unwrap();
    let endpoint = endpoint(&key);
    let Response { status, headers, .. } = response(input);
    if let Some(own) = endpoint.own_redirect(status, &headers) {
        let asked = Target::parse(b"GET", b"/b/a.jpg?x=1", &Bucket { exposed: Exposed::Path, ..bucket() }).unwrap();
        let location = asked.location_of(&own.key, own.query.as_deref(), None);
        assert!(location.starts_with("/b/") && is_field_value(&location), "{location}");
    }
    [Span::First { length: ASKED }, Span::Whole].into_iter().fold(0, |all, span| {
        let answer = origin::read(response(input), &endpoint, &key, span);
        if let FetchResult::First(first) = &answer {
            let (came, total) = (u64::try_from(first.object.body.len()).unwrap(), first.version.total);
            // An origin may cap its ranges. Without a range the answer is everything.
            let is_beginning = came < total && came <= ASKED && matches!(span, Span::First { .. });
            assert!(came == total || is_beginning, "{came} bytes of {total}");
            let metadata = &first.object.metadata;
            assert!(metadata.stored().chain(metadata.served()).all(|(_, value)| is_field_value(value)), "{metadata:?}");
        }
        let shown = match answer {
            FetchResult::First(first) => {
                format!("{:?}", first.object.metadata.stored().map(|(name, _)| name).collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        };
        trace((all, shown))
    })
}

/// Reads a store's response, and checks the effect of an upload's id on later requests.
pub fn store_answer(input: &[u8]) -> u64 {
    let (bucket, key, response) = (bucket(), Key::from_path(b"a.jpg").unwrap(), response(input));
    let created = s3::read_create_multipart_upload(&response);
    if let Ok(upload) = &created {
        let etags = [s3::read_upload_part(&response).unwrap_or_default()];
        let requests = [
            s3::abort_multipart_upload(&bucket, &key, upload),
            s3::upload_part(&bucket, &key, upload, 1, Rc::default()),
            s3::complete_multipart_upload(&bucket, &key, upload, &etags, 1),
        ];
        for request in requests {
            assert!(request.path.bytes().all(|byte| byte.is_ascii_graphic()), "{}", request.path);
            assert!(request.path.starts_with("/b/a.jpg?") && request.path.matches('?').count() == 1);
        }
    }
    let (put, head) = (s3::read_put_object(&response), s3::read_head_object(&response));
    let (complete, gone) = (s3::read_complete_multipart_upload(&response), s3::read_abort_multipart_upload(&response));
    trace(format!("{} {put:?} {head:?} {complete:?} {gone:?}", created.is_ok()))
}

/// Reads `METHOD TARGET`. The client's new location is a path of this host that leads to the same object.
pub fn target(input: &[u8]) -> u64 {
    let at = input.iter().position(|byte| *byte == b' ').unwrap_or(input.len());
    let (method, path) = input.split_at(at);
    let path = path.get(1..).unwrap_or_default();
    let exposed = [bucket(), Bucket { exposed: Exposed::Path, ..bucket() }];
    exposed.into_iter().fold(0, |all, bucket| {
        let Some(target) = Target::parse(method, path, &bucket) else { return trace((all, 0)) };
        let location = target.location(None);
        let canonical = location.strip_prefix("/.").filter(|path| path.starts_with("//")).unwrap_or(&location);
        assert!(canonical.bytes().all(|byte| byte.is_ascii_graphic()), "{canonical}");
        assert!(target.path_of_bucket().split_once('?').is_none_or(|(_, query)| query.starts_with("partNumber=")));
        assert_eq!(Target::parse(method, canonical.as_bytes(), &bucket).as_ref(), Some(&target), "{canonical}");
        // Behind a dot segment a path is a path, even one that would name a host.
        let dot = if canonical.starts_with("//") { "/." } else { "" };
        assert_eq!(location, format!("{dot}{canonical}"));
        assert!(canonical.starts_with('/') && !target.path().contains('\\'), "{canonical}");
        trace((all, canonical.len() / 16, canonical.matches('%').count(), canonical.contains('?')))
    })
}

/// Reads `SCHEME AUTHORITY`. The base of these leads to that host, with any path behind it.
pub fn own_base(input: &[u8]) -> u64 {
    let at = input.iter().position(|byte| *byte == b' ').unwrap_or(input.len());
    let (scheme, rest) = input.split_at(at);
    let authority = rest.get(1..).unwrap_or_default();
    let Some(base) = target::own_base(scheme, authority) else { return trace(0) };
    assert_eq!(base.as_bytes(), [scheme, authority].join(&b"://"[..]));
    assert!(base.bytes().all(|byte| byte.is_ascii_graphic()), "{base}");
    let url = Url::parse(&format!("{base}//evil.example/@b:1?c")).unwrap();
    assert_eq!((url.path(), url.query(), url.username(), url.password()), ("//evil.example/@b:1", Some("c"), "", None));
    assert_eq!(url.host_str(), Url::parse(&base).unwrap().host_str());
    trace((scheme, url.port(), authority.len() / 16))
}

fn parsed() -> Config {
    Config::parse(CONFIG.as_bytes(), &|_| None).unwrap()
}

fn bucket() -> Bucket {
    Rc::unwrap_or_clone(parsed().bucket)
}

fn endpoint(key: &Key) -> Endpoint {
    let config = parsed();
    let mirror = config.rules[0].mirror.as_ref().unwrap();
    Endpoint::at(&mirror.origins[0], mirror, key.as_str(), &Forwarded::default())
}

/// Reads `STATUS\nname: value\n...\n\nbody`; a status that is no number is none.
pub fn response(input: &[u8]) -> Response {
    let end = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
    let (head, body) = input.split_at(end);
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok()).unwrap_or(0);
    let header = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&line[..at]).to_lowercase();
        Some((name, line[at + 1..].to_vec()))
    };
    let headers = Headers::new(lines.filter_map(header).collect());
    Response { status, headers, body: body.get(2..).unwrap_or_default().to_vec() }
}

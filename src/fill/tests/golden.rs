//! The golden table: headers of an origin's answer, and the headers with which its object is stored.

use super::*;
use crate::object::Object;
use crate::origin::endpoint::Endpoint;
use crate::origin::{FetchResult, Span, read};
use crate::s3;

struct Row {
    what: &'static str,
    key: &'static str,
    origin: &'static [(&'static str, &'static [u8])],
    stored: &'static [(&'static str, &'static str)],
}

const TABLE: &[Row] = &[
    Row {
        what: "an origin that says nothing",
        key: "a",
        origin: &[],
        stored: &[("content-type", "application/octet-stream"), ("x-amz-meta-mirror-url", "//files.example.com/v1/a")],
    },
    Row {
        what: "everything that describes an object",
        key: "img/a.jpg",
        origin: &[
            ("content-type", b"image/webp"),
            ("content-encoding", b"gzip"),
            ("content-language", b"de"),
            ("content-disposition", b"attachment; filename=\"a.webp\""),
            ("cache-control", b"max-age=60"),
            ("expires", b"Sun, 22 Nov 2026 10:00:00 GMT"),
            ("last-modified", b"Sun, 22 Nov 2026 09:00:00 GMT"),
            ("etag", b"\"abc\""),
        ],
        stored: &[
            ("content-type", "image/webp"),
            ("content-encoding", "gzip"),
            ("content-disposition", "attachment; filename=\"a.webp\""),
            ("content-language", "de"),
            ("cache-control", "max-age=60"),
            ("expires", "Sun, 22 Nov 2026 10:00:00 GMT"),
            ("x-amz-meta-mirror-last-modified", "Sun, 22 Nov 2026 09:00:00 GMT"),
            ("x-amz-meta-mirror-etag", "\"abc\""),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/img/a.jpg"),
        ],
    },
    Row {
        what: "what is about the origin, the connection or other objects",
        key: "a.css",
        origin: &[
            ("accept-ranges", b"bytes"),
            ("access-control-allow-origin", b"*"),
            ("age", b"9"),
            ("alt-svc", b"h3=\":443\""),
            ("connection", b"keep-alive"),
            ("content-location", b"/b.css"),
            ("content-security-policy", b"default-src 'none'"),
            ("date", b"Sun, 22 Nov 2026 09:00:00 GMT"),
            ("link", b"</c.css>; rel=preload"),
            ("location", b"/c.css"),
            ("server", b"nginx"),
            ("set-cookie", b"a=b"),
            ("strict-transport-security", b"max-age=9"),
            ("vary", b"accept-encoding"),
            ("x-amz-acl", b"public-read"),
            ("x-amz-meta-mirror-url", b"//evil.example.com/"),
            ("x-amz-meta-owner", b"me"),
            ("x-amz-server-side-encryption", b"aws:kms"),
            ("x-amz-storage-class", b"GLACIER"),
            ("x-amz-tagging", b"a=b"),
            ("x-amz-website-redirect-location", b"https://evil.example.com/"),
            ("x-powered-by", b"PHP"),
        ],
        stored: &[("content-type", "text/css"), ("x-amz-meta-mirror-url", "//files.example.com/v1/a.css")],
    },
    Row {
        what: "digests, which are compared instead",
        key: "a.css",
        origin: &[
            ("content-md5", b"XUFAKrxLKna5cZ2REBfFkg=="),
            ("content-digest", b"md5=:XUFAKrxLKna5cZ2REBfFkg==:"),
            ("digest", b"md5=XUFAKrxLKna5cZ2REBfFkg=="),
            ("repr-digest", b"md5=:XUFAKrxLKna5cZ2REBfFkg==:"),
            ("x-amz-checksum-crc32", b"y/Q5Jg=="),
            ("x-amz-checksum-type", b"FULL_OBJECT"),
            ("x-goog-hash", b"crc32c=4waSgw=="),
        ],
        stored: &[("content-type", "text/css"), ("x-amz-meta-mirror-url", "//files.example.com/v1/a.css")],
    },
    Row {
        what: "a type that says nothing, which the origin states all the same",
        key: "a.JPG",
        origin: &[("content-type", b"Application/Octet-Stream")],
        stored: &[
            ("content-type", "Application/Octet-Stream"),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.JPG"),
        ],
    },
    Row {
        what: "the same with a parameter",
        key: "a.jpg",
        origin: &[("content-type", b"application/octet-stream; charset=binary")],
        stored: &[
            ("content-type", "application/octet-stream; charset=binary"),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.jpg"),
        ],
    },
    Row {
        what: "what S3 says where it knows no type",
        key: "a.jpg",
        origin: &[("content-type", b"binary/octet-stream")],
        stored: &[("content-type", "image/jpeg"), ("x-amz-meta-mirror-url", "//files.example.com/v1/a.jpg")],
    },
    Row {
        what: "a type that says nothing, as does the extension",
        key: "a.unknown",
        origin: &[("content-type", b"application/octet-stream")],
        stored: &[
            ("content-type", "application/octet-stream"),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.unknown"),
        ],
    },
    Row {
        what: "a type against the extension",
        key: "a.jpg",
        origin: &[("content-type", b" text/html; charset=latin1 ")],
        stored: &[
            ("content-type", "text/html; charset=latin1"),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.jpg"),
        ],
    },
    Row {
        what: "types that cannot be sent on",
        key: "a.jpg",
        origin: &[("content-type", b"\xe4")],
        stored: &[("content-type", "image/jpeg"), ("x-amz-meta-mirror-url", "//files.example.com/v1/a.jpg")],
    },
    Row {
        what: "codings that are none",
        key: "a.txt",
        origin: &[("content-encoding", b"Identity")],
        stored: &[("content-type", "text/plain"), ("x-amz-meta-mirror-url", "//files.example.com/v1/a.txt")],
    },
    Row {
        what: "a framing that an S3 server kept as a coding",
        key: "a.txt",
        origin: &[("content-encoding", b"gzip,aws-chunked")],
        stored: &[
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.txt"),
        ],
    },
    Row {
        what: "lists over several headers, and headers of which the first one counts",
        key: "a.txt",
        origin: &[
            ("cache-control", b"max-age=60,  no-transform"),
            ("cache-control", b""),
            ("cache-control", b"private=\"a\""),
            ("content-encoding", b"gzip"),
            ("content-encoding", b"br"),
            ("content-language", b"de, en"),
            ("content-language", b"mi"),
            ("content-disposition", b"inline"),
            ("content-disposition", b"attachment"),
            ("content-type", b"text/html"),
            ("content-type", b"text/css"),
            ("expires", b"0"),
            ("expires", b"-1"),
            ("etag", b"\"1\""),
            ("etag", b"\"2\""),
        ],
        stored: &[
            ("content-type", "text/html"),
            ("content-encoding", "gzip, br"),
            ("content-disposition", "attachment"),
            ("content-language", "de, en, mi"),
            ("cache-control", "max-age=60, no-transform, private=\"a\""),
            ("expires", "0"),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.txt"),
        ],
    },
    Row {
        what: "names that are not ASCII",
        key: "b\u{e4}r.pdf",
        origin: &[("content-disposition", "attachment; filename=\"b\u{e4}r.pdf\"".as_bytes())],
        stored: &[
            ("content-type", "application/pdf"),
            ("content-disposition", "attachment; filename*=UTF-8''b%C3%A4r.pdf"),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/b%C3%A4r.pdf"),
        ],
    },
    Row {
        what: "RFC 6266 for the same",
        key: "a.pdf",
        origin: &[("content-disposition", b"attachment; filename*=UTF-8''b%C3%A4r.pdf")],
        stored: &[
            ("content-type", "application/pdf"),
            ("content-disposition", "attachment; filename*=UTF-8''b%C3%A4r.pdf"),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.pdf"),
        ],
    },
    Row {
        what: "a weak validator",
        key: "a.txt",
        origin: &[("etag", b"W/\"abc\""), ("last-modified", b"yesterday")],
        stored: &[
            ("content-type", "text/plain"),
            ("x-amz-meta-mirror-last-modified", "yesterday"),
            ("x-amz-meta-mirror-etag", "W/\"abc\""),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.txt"),
        ],
    },
    Row {
        what: "values that break out of their line",
        key: "a.txt",
        origin: &[("cache-control", b"a\r\nx-evil: b"), ("etag", b"\"a\0\""), ("content-language", b"\t")],
        stored: &[("content-type", "text/plain"), ("x-amz-meta-mirror-url", "//files.example.com/v1/a.txt")],
    },
    Row {
        what: "fields of which there may be one, joined by Envoy",
        key: "a.txt",
        origin: &[
            ("content-type", b"image/png,image/png"),
            ("etag", b"\"1\",\"2\""),
            ("expires", b"Sun, 22 Nov 2026 10:00:00 GMT,Sun, 22 Nov 2026 10:00:00 GMT"),
            ("last-modified", b"Sun, 22 Nov 2026 10:00:00 GMT,Sun, 22 Nov 2026 10:00:01 GMT"),
        ],
        stored: &[
            ("content-type", "image/png"),
            ("expires", "Sun, 22 Nov 2026 10:00:00 GMT"),
            ("x-amz-meta-mirror-last-modified", "Sun, 22 Nov 2026 10:00:00 GMT"),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.txt"),
        ],
    },
    Row {
        what: "a name that is too long, of what is to be downloaded",
        key: "a.html",
        origin: &[("content-disposition", &LONG)],
        stored: &[
            ("content-type", "text/html"),
            ("content-disposition", "attachment"),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.html"),
        ],
    },
    Row {
        what: "a parameter of a type that is too long",
        key: "a.html",
        origin: &[("content-type", &LONG_TYPE)],
        stored: &[("content-type", "text/plain"), ("x-amz-meta-mirror-url", "//files.example.com/v1/a.html")],
    },
    Row {
        what: "where it comes from, in more bytes than OpenStack Swift takes",
        key: "a.txt",
        origin: &[("etag", &[b'c'; 257]), ("last-modified", &[b'd'; 256])],
        stored: &[
            ("content-type", "text/plain"),
            ("x-amz-meta-mirror-last-modified", DS),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.txt"),
        ],
    },
    Row {
        what: "more than the 2 KB that S3 takes of each kind of metadata",
        key: "a.txt",
        origin: &[
            ("cache-control", &[b'a'; 1800]),
            ("content-disposition", &[b'b'; 1800]),
            ("content-language", b"de"),
            ("etag", &[b'c'; 2000]),
            ("expires", b"0"),
            ("last-modified", b"now"),
        ],
        stored: &[
            ("content-type", "text/plain"),
            ("content-disposition", BS),
            ("content-language", "de"),
            ("expires", "0"),
            ("x-amz-meta-mirror-last-modified", "now"),
            ("x-amz-meta-mirror-url", "//files.example.com/v1/a.txt"),
        ],
    },
];

/// `text/plain; x=ppp…`.
const LONG_TYPE: [u8; 2048] = {
    let mut long = [b'p'; 2048];
    let (start, _) = long.split_at_mut(14);
    start.copy_from_slice(b"text/plain; x=");
    long
};

/// `attachment; filename=ää…`, in Latin-1.
const LONG: [u8; 921] = {
    let mut long = [b'\xe4'; 921];
    let (start, _) = long.split_at_mut(21);
    start.copy_from_slice(b"attachment; filename=");
    long
};

const DS: &str = match std::str::from_utf8(&[b'd'; 256]) {
    Ok(ds) => ds,
    Err(_) => panic!("it is ASCII"),
};

const BS: &str = match std::str::from_utf8(&[b'b'; 1800]) {
    Ok(bs) => bs,
    Err(_) => panic!("it is ASCII"),
};

/// The object of an answer with these headers: all of it, or its beginning.
fn object(config: &Config, row: &Row, total: usize) -> Object {
    let range = format!("bytes 0-3/{total}");
    let framing = [("content-length", &b"4"[..]), ("content-range", range.as_bytes())];
    let headers = framing.iter().chain(row.origin).map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    let response = Response { status: 206, headers: Headers::new(headers), body: b"abcd".to_vec() };
    let mirror = config.rules[0].mirror.as_ref().unwrap();
    let key = Key::from_path(row.key.as_bytes()).unwrap();
    let endpoint = Endpoint::at(&mirror.origins[0], mirror, key.as_str(), &Forwarded::default());
    match read(response, &endpoint, &key, Span::First { length: 5 }) {
        FetchResult::First(first) => first.object,
        other => panic!("{}: {other:?}", row.what),
    }
}

#[test]
fn an_object_is_stored_with_what_describes_it_and_nothing_else() {
    let config = Config::parse(
        br#"{"bucket": {"cluster": "signer", "authority": "s3"},
             "origin": {"cluster": "origin", "authority": "files.example.com", "path_prefix": "/v1"}}"#,
        &|_| None,
    );
    let (config, key) = (config.unwrap(), Key::from_path(b"k").unwrap());
    for row in TABLE {
        let single = s3::put_object(&config.bucket, &key, &object(&config, row, 4).metadata, Rc::default());
        let multipart = s3::create_multipart_upload(&config.bucket, &key, &object(&config, row, 9).metadata);
        for request in [single, multipart] {
            let ours = ["if-none-match", "content-length"];
            let described = request.headers.iter().filter(|(name, _)| !ours.contains(name));
            let described: Vec<_> = described.map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(described, row.stored, "{}, {}", row.what, request.method.as_str());
        }
    }
}

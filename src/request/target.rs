//! The target of a client's request: the object behind its method and path.

use crate::config::{Bucket, Exposed};
use crate::http::{Method, is_authority};
use crate::object::key::{Encoded, Key, KeyError, Spellings, is_bare};
use crate::request::reading::Reading;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// A GET or HEAD of one object of the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// GET or HEAD.
    pub method: Method,
    /// The object.
    pub key: Key,
    /// The other readings of its key.
    pub reading: Reading,
    /// The path in its canonical encoding, as clients write it: `/KEY` or `/BUCKET/KEY`.
    path: String,
    /// The query as the client sent it, without `?`; visible ASCII.
    query: Option<String>,
    /// The query is [`REDIRECTED`], which counts as none.
    redirected: bool,
}

/// Why a request is for no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// A `#`, which does not belong into a request.
    Fragment,
    /// The path is no key.
    Key(KeyError),
    /// Neither GET nor HEAD.
    Method,
    /// The path does not begin as those of the bucket's objects do.
    Outside,
    /// The query names one of [`SUB_RESOURCES`].
    SubResource,
}

/// Query parameters that name another thing than the object as it is now, in S3's own spelling
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>). A 404 for one of these says nothing about the
/// object. Each other parameter is dropped before the bucket is asked.
pub const SUB_RESOURCES: [&str; 2] = ["uploadId", "versionId"];

/// The one parameter that the bucket is asked with: a part of an object that was stored in parts. Others may stand beside it:
/// SDKs that are made of AWS's Smithy model add `x-id=GetObject`, and a presigned URL has its signature.
const PART_NUMBER: &[u8] = b"partNumber=";

/// The query of a [`Target::distinct_location`]. It is the filter's own, so rules and origins never hear of it.
const REDIRECTED: &[u8] = b"mirror-on-miss";

/// Digits of the largest part number, 10,000.
const MAX_PART_DIGITS: usize = 5;

impl Target {
    /// Reads a request. `None` if its answer is to be left alone: another method, a path that is no key of this
    /// bucket, or a sub-resource.
    pub fn parse(method: &[u8], path_and_query: &[u8], bucket: &Bucket) -> Option<Self> {
        Self::read(method, path_and_query, bucket).ok()
    }

    /// The same, with the reason if there is none.
    pub fn read(method: &[u8], path_and_query: &[u8], bucket: &Bucket) -> Result<Self, TargetError> {
        let method = readable(method).ok_or(TargetError::Method)?;
        if path_and_query.contains(&b'#') {
            return Err(TargetError::Fragment);
        }
        let (path, query) = split(path_and_query);
        if query.is_some_and(names_sub_resource) {
            return Err(TargetError::SubResource);
        }
        let root = match bucket.exposed {
            Exposed::Path => bucket.path_prefix.as_str(),
            Exposed::Root => "",
        };
        let path = path.strip_prefix(root.as_bytes()).and_then(|path| path.strip_prefix(b"/"));
        let (key, reading) = Reading::of(path.ok_or(TargetError::Outside)?, bucket).map_err(TargetError::Key)?;
        let path = Encoded::of(reading.asked(&key)).behind([root, "/"]);
        let redirected = query == Some(REDIRECTED);
        let query = query.filter(|_| !redirected).map(visible);
        Ok(Self { method, key, reading, path, query, redirected })
    }

    /// Returns the spellings that rules are matched against.
    pub fn spellings(&self) -> Spellings<'_> {
        self.reading.spellings(&self.key)
    }

    /// Returns the key as origins know it, decoded.
    pub fn origin_key(&self) -> &str {
        self.reading.origin_key(&self.key)
    }

    /// Returns what the bucket is asked: the path of the key in its canonical encoding. Of the query it gets a part
    /// number, and nothing else.
    pub fn path_of_bucket(&self) -> String {
        match self.part() {
            Some(part) => format!("{}?{part}", self.path_of_key()),
            None => self.path_of_key(),
        }
    }

    /// Returns the location for an edge that follows its own redirects: the key at the store.
    pub fn location_at_store(&self, base: &str) -> String {
        self.with_query(format!("{base}{}", self.path_of_key()))
    }

    /// Returns the path of the key. It ends in the index where the path of the request ends in a slash.
    fn path_of_key(&self) -> String {
        format!("{}{}", self.path, Encoded::of(self.reading.index().unwrap_or_default()))
    }

    fn with_query(&self, path: String) -> String {
        match &self.query {
            Some(query) => path + "?" + query,
            None => path,
        }
    }

    /// Returns the target of the same path with a slash at its end, if that is a page with a key of its own.
    pub fn page(&self, bucket: &Bucket) -> Option<Self> {
        let path = self.with_query(format!("{}/", self.path));
        let of_object = self.reading.index().is_none() && self.reading.not_plain().is_none() && !self.is_part();
        let page = Self::read(b"GET", path.as_bytes(), bucket).ok().filter(|_| of_object)?;
        page.reading.index()?;
        page.reading.not_plain().is_none().then_some(Self { method: self.method, ..page })
    }

    /// Says if the request is for a part of an object that was stored in parts.
    pub fn is_part(&self) -> bool {
        self.part().is_some()
    }

    fn part(&self) -> Option<&str> {
        std::str::from_utf8(part_of(self.query()?.as_bytes())?).ok()
    }

    /// The query, without `?`; visible ASCII.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The path alone, in its canonical encoding.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the client finds the object once it is stored, on `base` if that is given, else as a path: under the path
    /// that it asked for.
    ///
    /// A path that begins with `//` would name another host (RFC 3986, 4.2). Behind a dot segment, which every client
    /// removes (5.2.4), it is a path again.
    pub fn location(&self, base: Option<&str>) -> String {
        self.with_query(on_base(base, &self.path))
    }

    /// Returns the same path with a query that the request does not have. A request with a query keeps it: git refuses a
    /// redirect of `info/refs?service=git-upload-pack` that ends in anything else. What was redirected once gets no other
    /// query, so at the second redirect a client sees a loop.
    pub fn distinct_location(&self) -> String {
        let mut location = self.location(None);
        if self.query.is_none() && !self.redirected {
            location.push('?');
            location.push_str(str::from_utf8(REDIRECTED).unwrap_or_default());
        }
        location
    }

    /// Returns the same for another key, decoded, with its query. Without one the client's own stays.
    pub fn location_of(&self, key: &str, query: Option<&str>, base: Option<&str>) -> String {
        let own = Encoded::of(self.reading.asked(&self.key)).to_string();
        let root = self.path.strip_suffix(&own).unwrap_or("/");
        let path = on_base(base, &format!("{root}{}", Encoded::of(key)));
        match query {
            Some("") => path,
            Some(query) => format!("{path}?{query}"),
            None => self.with_query(path),
        }
    }
}

/// Puts a path on a base, or makes it one that names no host.
fn on_base(base: Option<&str>, path: &str) -> String {
    [base.unwrap_or(if path.starts_with("//") { "/." } else { "" }), path].concat()
}

/// The method of a request whose answer can be an object. `None` for all others.
pub fn readable(method: &[u8]) -> Option<Method> {
    match method {
        b"GET" => Some(Method::Get),
        b"HEAD" => Some(Method::Head),
        _ => None,
    }
}

/// Tells if the bucket is asked this path and query as they are, if they have a target at all. Nearly all requests are so,
/// so this reads nothing into memory. A path that ends in a slash may be that of a page.
pub fn is_plain(path_and_query: &[u8]) -> bool {
    path_and_query.iter().all(|byte| is_bare(*byte)) && !path_and_query.ends_with(b"/")
}

/// Returns what the bucket is asked for a path and query that have no target: the same path, and of the query what
/// [`Target::path_of_bucket`] leaves of it.
pub fn without_query(path_and_query: &[u8]) -> Vec<u8> {
    let (path, query) = split(path_and_query);
    query.and_then(part_of).map(|part| [path, b"?", part].concat()).unwrap_or_else(|| path.to_vec())
}

/// Makes a base for [`Target::location_at_store`] of a scheme and an authority. `None` if they are not those of a URL.
pub fn own_base(scheme: &[u8], authority: &[u8]) -> Option<String> {
    let scheme = std::str::from_utf8(scheme).ok().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let authority = std::str::from_utf8(authority).ok().filter(|authority| is_authority(authority))?;
    Some(format!("{scheme}://{authority}"))
}

/// The path, and the query without `?`.
fn split(path_and_query: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path_and_query.iter().position(|&b| b == b'?') {
        Some(at) => (path_and_query.get(..at).unwrap_or_default(), path_and_query.get(at.saturating_add(1)..)),
        None => (path_and_query, None),
    }
}

/// Tells if a query names one of [`SUB_RESOURCES`]. Another spelling of one is dropped, so it names nothing.
fn names_sub_resource(query: &[u8]) -> bool {
    let names = query.split(|byte| *byte == b'&').filter_map(|parameter| parameter.split(|byte| *byte == b'=').next());
    names.into_iter().any(|name| SUB_RESOURCES.iter().any(|known| known.as_bytes() == name))
}

/// Returns the first parameter of a query that is a part number.
fn part_of(query: &[u8]) -> Option<&[u8]> {
    query.split(|byte| *byte == b'&').find(|parameter| is_part_number(parameter))
}

/// Tells if a parameter is a part number, in S3's own spelling.
fn is_part_number(parameter: &[u8]) -> bool {
    parameter.strip_prefix(PART_NUMBER).is_some_and(|digits| {
        (1..=MAX_PART_DIGITS).contains(&digits.len())
            && !digits.starts_with(b"0")
            && digits.iter().all(u8::is_ascii_digit)
    })
}

/// The query with everything but visible ASCII percent-encoded, so that it can stand in a header.
fn visible(query: &[u8]) -> String {
    const INVISIBLE: &AsciiSet = &CONTROLS.add(b' ');
    percent_encode(query, INVISIBLE).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bucket(exposed: Exposed) -> Bucket {
        Bucket { path_prefix: "/my-bucket".into(), exposed, ..Bucket::default() }
    }

    fn root(path: &str) -> Option<Target> {
        Target::parse(b"GET", path.as_bytes(), &bucket(Exposed::Root))
    }

    #[test]
    fn only_get_and_head_of_an_object_have_a_target() {
        for (method, path) in [
            ("PUT", "/a"),
            ("OPTIONS", "*"),
            ("get", "/a"),
            ("GET", "/"),
            ("GET", ""),
            ("GET", "/?list-type=2"),
            ("GET", "a"),
            ("GET", "/a?versionId"),
            ("GET", "/a?x=1&versionId=2"),
            ("GET", "/a?partNumber=2&uploadId=1"),
            ("GET", "/a/../b"),
            ("GET", "/a#b"),
        ] {
            assert_eq!(
                Target::parse(method.as_bytes(), path.as_bytes(), &bucket(Exposed::Root)),
                None,
                "{method} {path}"
            );
        }
        assert_eq!(Target::parse(b"HEAD", b"/a", &bucket(Exposed::Root)).unwrap().method, Method::Head);
        assert_eq!(root("/a?aclx=1&response-content-type=x").unwrap().key.as_str(), "a");
    }

    #[test]
    fn the_bucket_is_asked_in_the_canonical_encoding_and_the_location_has_the_query_as_it_came() {
        let target = root("/a%20b@%c3%a4?v=1&x=%20+%2f").unwrap();
        assert_eq!(target.path_of_bucket(), "/a%20b%40%C3%A4");
        assert_eq!(target.location(None), "/a%20b%40%C3%A4?v=1&x=%20+%2f");
        assert_eq!(root("/a?").unwrap().location(None), "/a?");
    }

    #[test]
    fn of_a_query_the_bucket_gets_a_part_number_alone() {
        for (query, part) in [
            ("partNumber=1", Some("partNumber=1")),
            ("partNumber=10000", Some("partNumber=10000")),
            ("partNumber=2&x-id=GetObject", Some("partNumber=2")),
            ("X-Amz-Signature=0&partNumber=2&acl", Some("partNumber=2")),
            ("partNumber=0&partNumber=3&partNumber=4", Some("partNumber=3")),
            ("partNumber=0", None),
            ("partNumber=01", None),
            ("partNumber=100000", None),
            ("partNumber=", None),
            ("partNumber=+1", None),
            ("partNumber=1;v=1", None),
            ("a=1;partNumber=1", None),
            ("a=%26partNumber=1", None),
            ("partnumber=1", None),
            ("%70artNumber=1", None),
            ("acl", None),
            ("VersionId=1", None),
            ("a=%26versionId=1", None),
            ("", None),
        ] {
            let path = format!("/a%2Db?{query}");
            let asked = part.map(|part| format!("/a%2Db?{part}")).unwrap_or("/a%2Db".to_owned());
            assert_eq!(without_query(path.as_bytes()), asked.as_bytes(), "{query}");
            let target = root(&path).unwrap();
            assert_eq!(target.path_of_bucket(), asked.replace("%2D", "-"), "{query}");
            assert_eq!((target.is_part(), target.location(None)), (part.is_some(), format!("/a-b?{query}")));
        }
    }

    #[test]
    fn behind_a_path_style_bucket_the_key_follows_the_bucket() {
        let parse = |path: &str| Target::parse(b"GET", path.as_bytes(), &bucket(Exposed::Path));
        let target = parse("/my-bucket/img/a.jpg").unwrap();
        assert_eq!((target.key.as_str(), target.path()), ("img/a.jpg", "/my-bucket/img/a.jpg"));
        for other in ["/my-bucket", "/my-bucket/", "/other/a", "/my-bucketa/b", "/img/a.jpg"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_location_stays_on_the_host() {
        for (path, location) in [
            ("//evil.example/x", "/.//evil.example/x"),
            ("/%2Fevil.example/x", "/.//evil.example/x"),
            ("/%2F%2fevil.example", "/.///evil.example"),
            ("/\\evil.example/x", "/%5Cevil.example/x"),
            ("/%5C%5Cevil.example", "/%5C%5Cevil.example"),
            ("/http://evil.example/", "/http%3A//evil.example/"),
            ("/@evil.example", "/%40evil.example"),
            ("/.evil.example", "/.evil.example"),
        ] {
            assert_eq!(root(path).unwrap().location(None), location);
        }
        assert_eq!(
            root("//evil.example/x").unwrap().location(Some("https://cdn.example.com")),
            "https://cdn.example.com//evil.example/x"
        );
    }

    #[test]
    fn a_base_of_its_own_is_the_requests_scheme_and_authority_or_none() {
        for (scheme, authority) in [("http", "a.example"), ("https", "A.example:8443"), ("http", "[::1]:80")] {
            let base = own_base(scheme.as_bytes(), authority.as_bytes());
            assert_eq!(base, Some(format!("{scheme}://{authority}")));
            assert_eq!(root("//b").unwrap().location(base.as_deref()), format!("{scheme}://{authority}//b"));
        }
        for authority in
            [&b""[..], b"a/b", b"a?b", b"a#b", b"a\\b", b"user@a", b"a b", b"a\r\nb: c", b"a:99999", b"\xff"]
        {
            assert_eq!(own_base(b"http", authority), None, "{}", authority.escape_ascii());
        }
        for scheme in [&b""[..], b"ftp", b"javascript", b"http:", b"http\r\n", b"\xff"] {
            assert_eq!(own_base(scheme, b"a.example"), None, "{}", scheme.escape_ascii());
        }
    }

    #[test]
    fn a_distinct_location_differs_from_what_was_asked_once() {
        for (path, location) in [
            ("/a", "/a?mirror-on-miss"),
            ("//a", "/.//a?mirror-on-miss"),
            ("/a?mirror-on-miss", "/a"),
            ("/a?", "/a?"),
            ("/a?v=1", "/a?v=1"),
            ("/a?mirror-on-miss=1", "/a?mirror-on-miss=1"),
        ] {
            assert_eq!(root(path).unwrap().distinct_location(), location);
        }
        let redirected = root("/a?mirror-on-miss").unwrap();
        assert_eq!((redirected.query(), redirected.path_of_bucket().as_str()), (None, "/a"));
    }

    #[test]
    fn a_query_cannot_break_out_of_a_header() {
        let target = Target::parse(b"GET", b"/a?x=\r\nset-cookie:\xe4 b", &bucket(Exposed::Root)).unwrap();
        assert_eq!(target.location(None), "/a?x=%0D%0Aset-cookie:%E4%20b");
    }

    #[test]
    fn most_requests_are_plain() {
        for (path, plain) in [
            ("/img/a.jpg", true),
            ("/my-bucket/A_b~c", true),
            ("/my-bucket/A_b~c?v=1", false),
            ("/a%20b", false),
            ("/a+b", false),
            ("/a/", false),
            ("/a/?v=1", false),
            ("/a#b", false),
            ("/a?\u{e4}", false),
        ] {
            assert_eq!(is_plain(path.as_bytes()), plain, "{path}");
        }
    }

    #[test]
    fn the_location_of_another_key_is_a_path_as_clients_write_it() {
        let exposed = bucket(Exposed::Path);
        for (bucket, asked, key, query, base, location) in [
            (bucket(Exposed::Root), "/docs?v=1", "docs/", None, None, "/docs/?v=1"),
            (bucket(Exposed::Root), "/docs?v=1", "docs/", Some(""), None, "/docs/"),
            (bucket(Exposed::Root), "/a/b", "a b:c", Some("w=2"), None, "/a%20b%3Ac?w=2"),
            (bucket(Exposed::Root), "/a", "/evil.test", None, None, "/.//evil.test"),
            (bucket(Exposed::Root), "/a", "b", None, Some("https://cdn.test"), "https://cdn.test/b"),
            (exposed, "/my-bucket/docs", "docs/", None, None, "/my-bucket/docs/"),
        ] {
            let target = Target::parse(b"GET", asked.as_bytes(), &bucket).unwrap();
            assert_eq!(target.location_of(key, query, base), location);
        }
    }

    #[test]
    fn a_page_is_asked_of_the_bucket_as_its_index_and_of_its_client_as_before() {
        let index = Bucket { index: Some("index.html".into()), ..bucket(Exposed::Root) };
        for (path, asked, location) in [
            ("/", "/index.html", "/"),
            ("/blog/?v=1", "/blog/index.html", "/blog/?v=1"),
            ("/%62log%2f", "/blog/index.html", "/blog/"),
            ("/blog/index.html", "/blog/index.html", "/blog/index.html"),
        ] {
            let target = Target::parse(b"GET", path.as_bytes(), &index).unwrap();
            assert_eq!((target.path_of_bucket().as_str(), target.location(None).as_str()), (asked, location), "{path}");
        }
        let exposed = Bucket { exposed: Exposed::Path, ..index };
        let target = Target::parse(b"GET", b"/my-bucket/", &exposed).unwrap();
        assert_eq!((target.path_of_bucket().as_str(), target.key.as_str()), ("/my-bucket/index.html", "index.html"));
    }

    #[test]
    fn a_page_stands_behind_the_path_of_an_object_alone() {
        let index = Bucket { index: Some("index.html".into()), ..bucket(Exposed::Root) };
        for (path, page) in [
            ("/dir?v=1", Some(("dir/index.html", "/dir/?v=1"))),
            ("/a%2Fb", Some(("a/b/index.html", "/a/b/"))),
            ("/dir/", None),
            ("/a//b", None),
            ("/dir?partNumber=1", None),
        ] {
            let page_of = |bucket| Target::parse(b"HEAD", path.as_bytes(), bucket).unwrap().page(bucket);
            let found = page_of(&index);
            let shown = found.as_ref().map(|found| (found.key.as_str(), found.location(None)));
            assert_eq!(shown, page.map(|(key, location)| (key, location.to_owned())), "{path}");
            assert_eq!(found.map(|found| found.method), page.map(|_| Method::Head));
            assert_eq!(page_of(&bucket(Exposed::Root)), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_plain_is_canonical(path in "/[a-zA-Z0-9/._~%+ -]{0,12}([?#][ -~]{0,8})?") {
            for exposed in [Exposed::Root, Exposed::Path] {
                let path = if exposed == Exposed::Path { format!("/my-bucket{path}") } else { path.clone() };
                let target = Target::parse(b"GET", path.as_bytes(), &bucket(exposed));
                if let Some(target) = target.filter(|_| is_plain(path.as_bytes())) {
                    prop_assert_eq!(target.path_of_bucket(), path);
                }
            }
        }
    }
}

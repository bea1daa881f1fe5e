//! An origin and a store that do as they should, while the origin's objects change and other writers store theirs.

use mirror_on_miss::fill::Call;
use mirror_on_miss::http::{Headers, Method, Response};
use std::collections::{BTreeMap, BTreeSet};

/// Both servers.
#[derive(Default)]
pub struct Upstreams {
    pub origin: Origin,
    pub store: Store,
}

impl Upstreams {
    /// Answers a call. `length` is that of the origin's object if it was never asked for.
    pub fn answer(&mut self, call: &Call, length: u64) -> Response {
        if is_store(call) { self.store.answer(call) } else { self.origin.answer(call, length) }
    }

    /// Checks that each object in the store is one whole version of the origin's, where the origin never lied.
    pub fn assert_whole(&self) {
        for (path, object) in &self.store.objects {
            let path = path.strip_prefix("/b").unwrap();
            if let Object::Ours(body) = object
                && !self.origin.lied.contains(path)
            {
                assert!(self.origin.had(path, body), "no version of {path} is {body:?}");
            }
        }
    }
}

/// Tells if a call goes to the store.
pub fn is_store(call: &Call) -> bool {
    call.to.cluster == "signer"
}

/// The origin: the lengths of each object's versions, oldest first.
#[derive(Default)]
pub struct Origin {
    objects: BTreeMap<String, Vec<u64>>,
    lied: BTreeSet<String>,
}

impl Origin {
    /// Replaces an object.
    pub fn changes(&mut self, path: &str, length: u64) {
        self.objects.entry(path.to_owned()).or_default().push(length);
    }

    /// Notes that an answer other than its own was given for a path.
    pub fn lies(&mut self, call: &Call) {
        self.lied.insert(name(call).to_owned());
    }

    fn had(&self, path: &str, body: &[u8]) -> bool {
        let versions = self.objects.get(path).into_iter().flatten().enumerate();
        versions.into_iter().any(|(version, length)| content(path, version, *length) == body)
    }

    fn answer(&mut self, call: &Call, length: u64) -> Response {
        let path = name(call);
        let versions = self.objects.entry(path.to_owned()).or_insert_with(|| vec![length]);
        let (version, total) = (versions.len() - 1, *versions.last().unwrap());
        let etag = format!("\"{version}\"");
        if header(call, "if-match").is_some_and(|wanted| wanted != etag) {
            return with(412, &[], Vec::new());
        }
        let whole = content(path, version, total);
        let length = ("content-length", total.to_string());
        match (call.request.method, range(call)) {
            (Method::Head, _) => with(200, &[length, ("etag", etag)], Vec::new()),
            (_, None) => with(200, &[length, ("etag", etag)], whole),
            (_, Some((first, _))) if first >= total => {
                with(416, &[("content-range", format!("bytes */{total}"))], Vec::new())
            }
            (_, Some((first, last))) => {
                let last = last.min(total - 1);
                let body = whole[usize::try_from(first).unwrap()..=usize::try_from(last).unwrap()].to_vec();
                with(206, &[("content-range", format!("bytes {first}-{last}/{total}")), ("etag", etag)], body)
            }
        }
    }
}

/// Makes the content of a version: each byte tells the path, the version and its place.
fn content(path: &str, version: usize, length: u64) -> Vec<u8> {
    let seed = path.bytes().fold(version as u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    (0..length).map(|place| (seed.wrapping_mul(7) + place.wrapping_mul(13)).to_le_bytes()[0]).collect()
}

/// An object in the store.
enum Object {
    Ours(Vec<u8>),
    Theirs,
}

/// The store. It overwrites where a write has no condition, and only there.
#[derive(Default)]
pub struct Store {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, BTreeMap<usize, Vec<u8>>>,
    created: usize,
}

impl Store {
    /// Stores an object as another writer does.
    pub fn another_stores(&mut self, path: &str) {
        self.objects.insert(format!("/b{path}"), Object::Theirs);
    }

    fn answer(&mut self, call: &Call) -> Response {
        let query = call.request.path.split_once('?').map(|(_, query)| query);
        let upload = query.and_then(|query| query.split_once("uploadId=")).map(|(_, id)| super::percent_decoded(id));
        match (call.request.method, query, upload) {
            (Method::Head, ..) => with(if self.has(call) { 200 } else { 404 }, &[], Vec::new()),
            (Method::Put, None, _) => self.write(call, call.request.body.to_vec()),
            (Method::Post, _, None) => {
                self.created += 1;
                let id = format!("{}/?", self.created);
                self.uploads.insert(id.clone(), BTreeMap::new());
                with(200, &[], format!("<UploadId>{id}</UploadId>").into_bytes())
            }
            (Method::Put, Some(query), Some(id)) => self.put_part(call, query, &id),
            (Method::Post, _, Some(id)) => self.complete(call, &id),
            (Method::Delete, _, Some(id)) => match self.uploads.remove(&id) {
                Some(_) => with(204, &[], Vec::new()),
                None => no_such_upload(),
            },
            _ => panic!("no fill makes the call {:?}", call.request),
        }
    }

    fn has(&self, call: &Call) -> bool {
        self.objects.contains_key(name(call))
    }

    fn write(&mut self, call: &Call, body: Vec<u8>) -> Response {
        if self.has(call) && header(call, "if-none-match").is_some() {
            return with(412, &[], Vec::new());
        }
        let before = self.objects.insert(name(call).to_owned(), Object::Ours(body));
        assert!(!matches!(before, Some(Object::Theirs)), "another writer's {} is overwritten", name(call));
        with(200, &[("etag", "\"e\"".to_owned())], b"<CompleteMultipartUploadResult/>".to_vec())
    }

    fn put_part(&mut self, call: &Call, query: &str, id: &str) -> Response {
        let Some(parts) = self.uploads.get_mut(id) else { return no_such_upload() };
        let number = query.strip_prefix("partNumber=").and_then(|rest| rest.split_once('&')).unwrap().0;
        parts.insert(number.parse().unwrap(), call.request.body.to_vec());
        with(200, &[("etag", etag_of_part(id, number))], Vec::new())
    }

    fn complete(&mut self, call: &Call, id: &str) -> Response {
        if self.has(call) && header(call, "if-none-match").is_some() {
            return with(412, &[], Vec::new());
        }
        let Some(parts) = self.uploads.get(id) else { return no_such_upload() };
        let document = String::from_utf8(call.request.body.to_vec()).unwrap();
        let listed = document.matches("<PartNumber>").count();
        let is_there = |number: &usize| {
            let etag = etag_of_part(id, &number.to_string());
            let part = format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
            parts.contains_key(number) && document.contains(&part)
        };
        if !(1..=listed).all(|number| is_there(&number)) {
            return with(400, &[], b"<Error><Code>InvalidPart</Code></Error>".to_vec());
        }
        let parts = self.uploads.remove(id).unwrap();
        let body = parts.into_iter().filter(|(number, _)| *number <= listed).flat_map(|(_, body)| body).collect();
        self.write(call, body)
    }
}

fn etag_of_part(id: &str, number: &str) -> String {
    format!("\"{id}-{number}\"")
}

fn no_such_upload() -> Response {
    with(404, &[], b"<Error><Code>NoSuchUpload</Code></Error>".to_vec())
}

fn with(status: u16, headers: &[(&str, String)], body: Vec<u8>) -> Response {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes()));
    Response { status, headers: Headers::new(headers.collect()), body }
}

fn name(call: &Call) -> &str {
    let path = &call.request.path;
    path.split_once('?').map_or(path.as_str(), |(path, _)| path)
}

fn header<'a>(call: &'a Call, wanted: &str) -> Option<&'a str> {
    call.request.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
}

/// Reads the range that a call asks for.
pub fn range(call: &Call) -> Option<(u64, u64)> {
    let (first, last) = header(call, "range")?.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

//! The gallery of origins, natively: see `tests/gallery/origins.json`. `tests/e2e/test_gallery.py` runs the same rows through
//! the real Envoy.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::host::{Call, Client, Envoy, Headers};
use crate::multipart::CREATED;
use crate::rows::{groups, origins, rows, text};
use crate::steps::{configuration, miss};

/// The host of the origins.
const AUTHORITY: &str = "files.test";

#[test]
fn each_origin_of_the_gallery_is_read_as_its_row_says() {
    let mut wrong = Vec::new();
    let mut names = Vec::new();
    let groups = groups();
    for row in groups.iter().flat_map(rows) {
        names.push(slug(row));
        let seen = run(row);
        let expected = expected(row);
        if seen != expected {
            wrong.push(format!("{}:\n    seen {seen:?}\nexpected {expected:?}", text(&row["name"])));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(names.len() >= 60, "{} rows", names.len());
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "each row has a name of its own: {names:?}");
}

/// The facts that a row tells.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    status: u16,
    outcome: String,
    client: BTreeMap<String, Option<String>>,
    /// The version that is stored, if it is so byte by byte.
    stored: Result<Option<u64>, &'static str>,
    stored_headers: BTreeMap<String, Option<String>>,
    /// `None` where nothing but Envoy sees it.
    asked: Option<usize>,
}

fn expected(row: &Value) -> Facts {
    let filled = |fields: &Value| {
        let fields = fields.as_object().cloned().unwrap_or_default();
        fields.into_iter().map(|(name, value)| (name, value.as_str().map(|value| fill_in(value, row, "")))).collect()
    };
    let client = &row["client"];
    Facts {
        status: number(&client["status"]).and_then(|status| u16::try_from(status).ok()).expect("a status"),
        outcome: text(&client["outcome"]),
        client: filled(&client["headers"]),
        stored: Ok(number(&row["stored"]).or((row["stored"] == true).then_some(1))),
        stored_headers: filled(&row["stored_headers"]),
        asked: number(&row["asked"]).and_then(|asked| usize::try_from(asked).ok()),
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64()
}

/// Has a client ask for the object of a row, plays its origin and a store, and looks.
fn run(row: &Value) -> Facts {
    let slug = slug(row);
    let mut config = configuration();
    let named = |index: usize| format!("{slug}-{index}");
    config["origins"] = json!({});
    for (index, settings) in origins(row).iter().enumerate() {
        let mut origin = json!({"cluster": "origin", "authority": AUTHORITY, "path_prefix": format!("/at-{index}")});
        origin.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        config["origins"][named(index)] = origin;
    }
    config.as_object_mut().unwrap().remove("origin");
    let names: Vec<_> = (0..origins(row).len()).map(named).collect();
    let mut rule = json!({"prefix": format!("/{slug}/"), "origins": names});
    rule.as_object_mut().unwrap().extend(row["rule"].as_object().cloned().unwrap_or_default());
    config["rules"] = json!([rule]);

    let clusters = ["dead", "origin", "over-http2", "signer"];
    let mut envoy = Envoy::builder().clusters(&clusters).start(&config.to_string());
    let mut world = World {
        row,
        slug: slug.clone(),
        used: vec![0; answers(row).len()],
        asked: 0,
        objects: [1, 2].map(|version| object(size(row), version)),
        store: Store::default(),
    };
    let method = row["method"].as_str().unwrap_or("GET");
    let asks = if row["twice"] == true { 2 } else { 1 };
    let clients: Vec<Client> = (0..asks)
        .map(|_| {
            let client = envoy.request(method, &format!("/{slug}/{}", key(row))).send();
            miss(client);
            world.play(&mut envoy, client);
            client
        })
        .collect();
    envoy.assert_idle();
    let answer = clients.last().and_then(Client::answer).expect("an answer");
    let expected = expected(row);
    let seen = |headers: &dyn Fn(&str) -> Option<String>, names: BTreeMap<String, Option<String>>| {
        names.into_keys().map(|name| (name.clone(), headers(&name))).collect()
    };
    if answer.status() == 200 && method == "GET" {
        assert!(answer.body == world.objects[0], "{slug}: other bytes");
    }
    Facts {
        status: answer.status(),
        outcome: answer.header("x-mirror-on-miss").unwrap_or_default().to_owned(),
        client: seen(&|name| answer.header(name).map(str::to_owned), expected.client),
        stored: world.store.version(&world.objects),
        stored_headers: seen(&|name| world.store.headers.text(name).map(str::to_owned), expected.stored_headers),
        asked: expected.asked.map(|_| world.asked),
    }
}

struct World<'a> {
    row: &'a Value,
    slug: String,
    /// The times that each answer was given.
    used: Vec<u64>,
    asked: usize,
    /// The versions of the object.
    objects: [Vec<u8>; 2],
    store: Store,
}

impl World<'_> {
    /// Answers calls until the client has its answer and nothing is under way.
    fn play(&mut self, envoy: &mut Envoy, client: Client) {
        for _ in 0..1000 {
            match envoy.try_next_call() {
                Some(call) if call.cluster == "signer" => self.store.answer(envoy, call),
                Some(call) if call.cluster == "dead" => envoy.refuse(call),
                Some(call) => {
                    self.asked += 1;
                    self.answer(envoy, call);
                }
                None if client.is_waiting() => envoy.tick(),
                None => return,
            }
        }
        panic!("{}: no end", self.slug);
    }

    fn answer(&mut self, envoy: &mut Envoy, call: Call) {
        let answers = answers(self.row);
        let index = answers.iter().zip(&self.used).position(|(answer, used)| self.is_for(answer, *used, &call));
        let index = index.unwrap_or_else(|| panic!("{}: no answer to {call:?}", self.slug));
        self.used[index] += 1;
        let answer = &answers[index];
        match answer["fail"].as_str() {
            Some("cut") => return envoy.fail(call),
            Some("reset") => return envoy.refuse(call),
            Some("silence") => return envoy.time_out(call),
            Some(other) => panic!("no failure {other}"),
            None => {}
        }
        if let Some(milliseconds) = number(&answer["takes_ms"]) {
            envoy.advance(Duration::from_millis(milliseconds));
        }
        let (status, mut headers, body) = self.content(answer, &call);
        if answer["framing"].is_null() {
            headers.push(("content-length".to_owned(), body.len().to_string()));
        } else if answer["framing"] == "chunked" && call.cluster != "over-http2" {
            headers.push(("transfer-encoding".to_owned(), "chunked".to_owned()));
        }
        let latin1 = |value: &str| value.chars().map(|character| u8::try_from(character).unwrap()).collect::<Vec<_>>();
        let headers =
            headers.iter().fold(Headers::response(status), |all, (name, value)| all.with(name, latin1(value)));
        let body = if call.method() == "HEAD" { Vec::new() } else { body };
        envoy.respond_with(call, headers, body);
    }

    fn content(&self, answer: &Value, call: &Call) -> (u16, Vec<(String, String)>, Vec<u8>) {
        let mut headers = Vec::new();
        for (name, values) in answer["headers"].as_object().into_iter().flatten() {
            let values = values.as_array().cloned().unwrap_or_else(|| vec![values.clone()]);
            headers.extend(values.iter().map(|value| (name.clone(), fill_in(&text(value), self.row, AUTHORITY))));
        }
        let object = self.objects[usize::from(answer["version"] == 2)].as_slice();
        if let Some(status) = number(&answer["status"]) {
            let bytes = number(&answer["bytes"]).and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
            let body = answer["text"]
                .as_str()
                .map(|text| text.as_bytes().to_vec())
                .unwrap_or_else(|| object[..bytes].to_vec());
            return (u16::try_from(status).unwrap(), headers, body);
        }
        let etag = headers.iter().find(|(name, _)| name == "ETag").map(|(_, etag)| etag.as_str());
        if call.header("if-match").is_some() && call.header("if-match") != etag {
            return (412, Vec::new(), Vec::new());
        }
        let Some((first, last)) = range(call).filter(|_| answer["serve"] == "ranges") else {
            return (200, headers, object.to_vec());
        };
        if object.is_empty() {
            return (416, vec![("content-range".to_owned(), "bytes */0".to_owned())], Vec::new());
        }
        let cap = number(&answer["cap"]).and_then(|cap| usize::try_from(cap).ok()).unwrap_or(usize::MAX);
        let end = object.len().min(last + 1).min(first.saturating_add(cap));
        headers.push(("content-range".to_owned(), format!("bytes {first}-{}/{}", end - 1, object.len())));
        (206, headers, object[first..end].to_vec())
    }

    fn is_for(&self, answer: &Value, used: u64, call: &Call) -> bool {
        let at = match &answer["at"] {
            Value::String(other) => format!("/{other}/{}/", self.slug),
            at => format!("/at-{}/{}/", number(at).unwrap_or(0), self.slug),
        };
        let Some(path) = call.path().split('?').next().and_then(|path| path.strip_prefix(&at)) else { return false };
        let named = |answer: &Value| answer["path"].as_str() == Some(path);
        let is_there = named(answer) || (answer["path"].is_null() && !answers(self.row).iter().any(named));
        let is_when = match answer["when"].as_str() {
            Some("agent") => call.header("user-agent").is_some_and(|agent| agent.starts_with("mirror-on-miss/")),
            Some("conditional") => ["if-match", "if-unmodified-since"].iter().any(|name| call.header(name).is_some()),
            Some("first") => range(call).is_some_and(|(first, _)| first == 0),
            Some("ranged") => range(call).is_some(),
            Some(other) => panic!("no condition {other}"),
            None => true,
        };
        is_there && is_when && number(&answer["times"]).is_none_or(|times| used < times)
    }
}

fn answers(row: &Value) -> Vec<Value> {
    row["answers"].as_array().expect("answers").clone()
}

fn range(call: &Call) -> Option<(usize, usize)> {
    let (first, last) = call.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().unwrap(), last.parse().unwrap()))
}

fn key(row: &Value) -> &str {
    row["key"].as_str().unwrap_or("object.bin")
}

fn size(row: &Value) -> usize {
    number(&row["size"]).and_then(|size| usize::try_from(size).ok()).unwrap_or(2048)
}

/// Makes the bytes of a version, each of which shows where it belongs.
fn object(size: usize, version: u64) -> Vec<u8> {
    let pattern: Vec<u8> = (0..251).map(|byte| u8::try_from((byte + version - 1) % 251).unwrap()).collect();
    let mut object = pattern.repeat(size / pattern.len() + 1);
    object.truncate(size);
    object
}

/// Makes a name for paths: letters and digits of the row's own.
fn slug(row: &Value) -> String {
    let name = text(&row["name"]).to_lowercase();
    name.split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

fn fill_in(value: &str, row: &Value, authority: &str) -> String {
    let slug = slug(row);
    value.replace("{dir}", &format!("/at-0/{slug}")).replace("{slug}", &slug).replace("{authority}", authority)
}

/// A store that takes everything.
#[derive(Default)]
struct Store {
    parts: BTreeMap<usize, Vec<u8>>,
    headers: Headers,
    is_stored: bool,
}

impl Store {
    fn answer(&mut self, envoy: &mut Envoy, call: Call) {
        let query = call.path().split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default();
        let part = query.strip_prefix("partNumber=").and_then(|rest| rest.split('&').next()?.parse().ok());
        match (call.method(), query.as_str(), part) {
            ("POST", "uploads=", _) => {
                self.headers = call.headers.clone();
                envoy.respond(call, 200, &[], CREATED);
            }
            ("POST", ..) => {
                self.is_stored = true;
                envoy.respond(call, 200, &[], "<CompleteMultipartUploadResult/>");
            }
            ("PUT", _, Some(part)) => {
                self.parts.insert(part, call.body.clone());
                envoy.respond(call, 200, &[("etag", "\"part\"")], "");
            }
            ("PUT", ..) => {
                self.parts = BTreeMap::from([(1, call.body.clone())]);
                self.headers = call.headers.clone();
                self.is_stored = true;
                envoy.respond(call, 200, &[], "");
            }
            ("DELETE", ..) => {
                self.parts.clear();
                envoy.respond(call, 204, &[], "");
            }
            (method, ..) => panic!("{method} is no request of a fill after a 404"),
        }
    }

    /// Finds the version of an object that is stored.
    fn version(&self, objects: &[Vec<u8>]) -> Result<Option<u64>, &'static str> {
        let body = self.parts.values().map(Vec::as_slice).collect::<Vec<_>>().concat();
        match (1..).zip(objects).find(|(_, object)| body == **object) {
            _ if !self.is_stored => Ok(None),
            Some((version, _)) => Ok(Some(version)),
            None => Err("other bytes"),
        }
    }
}

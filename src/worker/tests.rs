use super::*;
use crate::fill::Shortage;
use crate::http::{Headers, Method};
use crate::single_flight::leases::tests::FakeSharedHost;

const DOCUMENT: &[u8] = b"<Error><Code>NoSuchKey</Code></Error>";

/// A worker in virtual time.
struct World {
    worker: Worker,
    now: Instant,
    shared: FakeSharedHost,
}

impl World {
    fn new() -> Self {
        Self::with(serde_json::json!({}))
    }

    /// With these fields of the bucket's beside those that it must have.
    fn with(bucket: serde_json::Value) -> Self {
        let mut config = serde_json::json!({
            "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
            "origins": {"one": {"cluster": "origin", "authority": "files.example.com"}},
            "rules": [{"prefix": "/private/", "mirror": false}, {"prefix": "/open/", "on_403": "ignore"}, {"prefix": "/"}]});
        for (name, value) in bucket.as_object().unwrap() {
            config["bucket"][name] = value.clone();
        }
        Self::of(&config)
    }

    /// With one rule, and with streams.
    fn streaming(rule: serde_json::Value) -> Self {
        Self::of(&serde_json::json!({
            "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
            "origin": {"cluster": "origin", "authority": "files.example.com"},
            "stream": {"marker": "m=s"},
            "rules": [rule]}))
    }

    fn of(config: &serde_json::Value) -> Self {
        let config = Config::parse(config.to_string().as_bytes(), &|_| None).unwrap();
        let leases = Leases::new(&config, 0, 1);
        Self { worker: Worker::new(Rc::new(config), leases, 1), now: Instant::now(), shared: FakeSharedHost::new() }
    }

    fn hold(&mut self, stream: u32, path: &str, denial: Denial, end: bool) {
        let wanted = wanted(&self.worker, "GET", path).unwrap();
        self.worker.hold(StreamId(stream), wanted, denial, end, self.now);
    }

    fn judge(&mut self, stream: u32, document: Option<&[u8]>) -> Vec<String> {
        let denied = DeniedResponse { document: document.map(<[u8]>::to_vec), ..denied() };
        let steps = self.worker.judge(StreamId(stream), &denied, &|| 0, self.now, &self.shared);
        steps.iter().map(shown).collect()
    }

    fn readable(&mut self) -> Vec<(u32, bool)> {
        self.worker.readable(self.now).into_iter().map(|(stream, document)| (stream.0, document)).collect()
    }

    fn deliver(&mut self, stream: u32, outcome: &Outcome) -> Delivery {
        let mirror = self.worker.config.rules[2].mirror.clone().unwrap();
        self.worker.deliver(StreamId(stream), &Source { mirror, origin: 0 }, outcome)
    }

    fn body(&mut self, stream: u32, size: usize, end: bool) -> BodyStep {
        self.worker.body(StreamId(stream), size, end)
    }
}

/// A denial of which nothing but the headers is known.
fn denied() -> DeniedResponse {
    DeniedResponse {
        details: None,
        document: None,
        precondition: Precondition::None,
        range: None,
        trace: Trace::default(),
    }
}

fn captured(worker: &Worker, method: &str, path: &str) -> Option<ClientRequest> {
    worker.capture(&|name| match name {
        ":method" => Some(method.into()),
        ":path" => Some(path.into()),
        _ => None,
    })
}

fn wanted(worker: &Worker, method: &str, path: &str) -> Option<MirroredRequest> {
    worker.mirrored_request(captured(worker, method, path)?, Denial::NotFound)
}

fn shown(step: &Effect) -> String {
    match step {
        Effect::Call { call, .. } => {
            format!("{} {} {}", call.request.method.as_str(), call.to.cluster, call.request.path)
        }
        Effect::Release(stream, reason) => format!("release {} {reason}", stream.0),
        Effect::Warn { what, .. } => format!("warn {what}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_request_is_wanted_if_the_first_matching_rule_mirrors_it() {
    let world = World::new();
    assert_eq!(wanted(&world.worker, "HEAD", "/a").unwrap().target.method, Method::Head);
    for (method, path) in [("GET", "/private/a"), ("GET", "/%70rivate/a"), ("POST", "/a"), ("GET", "/")] {
        assert!(wanted(&world.worker, method, path).is_none(), "{method} {path}");
    }
}

#[test]
fn a_denial_is_judged_when_its_document_is_complete() {
    let mut world = World::new();
    world.hold(1, "/a", Denial::NotFound, false);
    assert_eq!(world.readable(), []);
    assert_eq!(world.body(1, 20, false), BodyStep::Keep);
    assert_eq!(world.readable(), []);
    assert_eq!(world.body(1, 20, true), BodyStep::Keep);
    assert_eq!(world.readable(), [(1, true)]);
    assert_eq!(world.judge(1, Some(DOCUMENT)), ["GET origin /a"]);
    assert_eq!(world.readable(), [], "it is judged once");
}

#[test]
fn a_denial_without_a_document_is_judged_by_its_status() {
    let mut world = World::new();
    world.hold(1, "/a", Denial::NotFound, true);
    world.hold(2, "/b", Denial::Forbidden, true);
    assert_eq!(world.readable(), [(1, false), (2, false)]);
    assert_eq!(world.judge(1, None), ["GET origin /a"]);
    assert_eq!(world.judge(2, None), ["HEAD signer /b/b"]);
}

#[test]
fn a_document_that_does_not_come_in_time_is_not_waited_for() {
    let mut world = World::new();
    world.hold(1, "/a", Denial::NotFound, false);
    assert_eq!(world.worker.next_deadline(), Some(world.now + READ_TIMEOUT));
    assert!(world.worker.tick(world.now, &world.shared).is_empty());
    assert_eq!(world.worker.next_deadline(), Some(world.now + READ_TIMEOUT), "it is not forgotten");
    world.now += READ_TIMEOUT;
    assert_eq!(world.readable(), [(1, false)]);
    assert_eq!(world.judge(1, None), ["GET origin /a"]);
    let delivery = world.deliver(1, &Outcome::Busy(Shortage::Fills));
    assert!(matches!(delivery, Delivery::Direct(_)), "no client waits for the bucket's body: {delivery:?}");
    assert_eq!(world.body(1, 10, true), BodyStep::Pass);
}

#[test]
fn a_broken_bucket_is_passed_on_and_told_once_a_minute() {
    let mut world = World::new();
    let warning = "warn the bucket s3.example.com/b answers NoSuchBucket to the edge, and nothing is mirrored: see BUCKET and STORE";
    for (stream, seconds, expected) in [
        (1, 0, &["release 1 bucket_error", warning][..]),
        (2, 59, &["release 2 bucket_error"]),
        (3, 1, &["release 3 bucket_error", warning]),
    ] {
        world.now += Duration::from_secs(seconds);
        world.hold(stream, "/a", Denial::NotFound, false);
        world.body(stream, 10, true);
        assert_eq!(world.judge(stream, Some(b"<Error><Code>NoSuchBucket</Code></Error>")), expected);
        assert_eq!(world.worker.release(StreamId(stream), "forbidden"), Delivery::Untouched);
        assert_eq!(world.body(stream, 10, true), BodyStep::Pass);
    }
}

#[test]
fn a_forbidden_object_of_a_rule_that_ignores_403_is_let_go() {
    let mut world = World::new();
    world.hold(1, "/open/a", Denial::Forbidden, true);
    assert_eq!(world.judge(1, None), ["release 1 forbidden"]);
    assert_eq!(world.worker.release(StreamId(1), "forbidden"), Delivery::Untouched);
}

#[test]
fn an_oversize_document_is_dropped_while_it_comes_and_replaced_in_the_end() {
    let mut world = World::new();
    world.hold(1, "/a", Denial::NotFound, false);
    assert_eq!(world.body(1, MAX_BUFFERED, false), BodyStep::Keep);
    assert_eq!(world.body(1, MAX_BUFFERED + 1, false), BodyStep::Drop);
    assert_eq!(world.body(1, 1, false), BodyStep::Drop, "what comes after a dropped piece is dropped too");
    assert_eq!(world.body(1, 1, true), BodyStep::Drop);
    assert_eq!(world.readable(), [(1, false)]);
    world.judge(1, None);
    let Delivery::InPlace(made, Some(body)) = world.deliver(1, &Outcome::NotFound) else { panic!("in place") };
    assert_eq!((made.status, xml::error_code(&body)), (404, Some("NoSuchKey")));
}

#[test]
fn an_answer_is_delivered_where_the_buckets_own_stands() {
    let not_stored = Outcome::Busy(Shortage::Fills);
    for (pieces, expected) in [
        (&[][..], "as a reply of its own"),
        (&[(10, false)][..], "as a reply of its own"),
        (&[(10, false), (10, true)][..], "now"),
    ] {
        let mut world = World::new();
        world.hold(1, "/a", Denial::NotFound, false);
        for (size, end) in pieces {
            world.body(1, *size, *end);
        }
        world.judge(1, None);
        let delivery = world.deliver(1, &not_stored);
        let rest = world.body(1, 10, true);
        let got = match (&delivery, &rest) {
            (Delivery::Direct(_), BodyStep::Pass) => "as a reply of its own",
            (Delivery::InPlace(_, Some(_)), BodyStep::Pass) => "now",
            other => panic!("{other:?}"),
        };
        assert_eq!(got, expected);
    }
}

#[test]
fn where_the_bucket_sent_no_body_an_answer_with_one_is_a_reply_of_its_own() {
    let mut world = World::new();
    world.hold(1, "/a", Denial::NotFound, true);
    assert!(matches!(world.deliver(1, &Outcome::Busy(Shortage::Fills)), Delivery::Direct(_)));
    world.hold(2, "/a", Denial::NotFound, true);
    assert!(matches!(world.deliver(2, &Outcome::Stored), Delivery::InPlace(_, None)));
    world.hold(3, "/a", Denial::NotFound, false);
    assert!(world.worker.trailers(StreamId(3)), "trailers without a body are held");
    assert!(matches!(world.deliver(3, &Outcome::Busy(Shortage::Fills)), Delivery::Direct(_)));
}

#[test]
fn fills_and_those_who_wait_for_them_are_counted() {
    let mut world = World::new();
    let mut counts = vec![(world.worker.fills(), world.worker.waiters())];
    for (stream, path) in [(1, "/a"), (2, "/a"), (3, "/b")] {
        world.hold(stream, path, Denial::NotFound, true);
        world.judge(stream, None);
        counts.push((world.worker.fills(), world.worker.waiters()));
    }
    assert_eq!(counts, [(0, 0), (1, 1), (1, 2), (2, 3)]);
}

#[test]
fn only_a_client_that_may_follow_the_marker_is_passed_to_the_origin() {
    let mut world = World::streaming(serde_json::json!({"response": "serve"}));
    world.hold(1, "/a", Denial::NotFound, true);
    let mut steps = world.worker.judge(StreamId(1), &denied(), &|| 0, world.now, &world.shared);
    let Some(Effect::Call { ticket, .. }) = steps.pop() else { panic!("a call") };
    let headers = [("etag", "\"e\""), ("content-range", "bytes 0-65535/20000000"), ("content-length", "65536")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let beginning = Response { status: 206, headers: Headers::new(headers.into()), body: vec![0; 65_536] };
    world.worker.finish_call(ticket, Some(beginning), 0, world.now, &world.shared);
    for (path, precondition, passes) in [
        ("/a", Precondition::None, true),
        ("/a", Precondition::NoneOf("\"a\"".into()), true),
        ("/a", Precondition::Unmodified(None), false),
        ("/a", Precondition::Match, false),
        ("/a?partNumber=1", Precondition::None, false),
        // It had no permit, and could go round for ever.
        ("/a?m=s", Precondition::None, false),
    ] {
        let case = format!("{path} {precondition:?}");
        world.hold(2, path, Denial::NotFound, true);
        let denied = DeniedResponse { precondition, ..denied() };
        let steps = world.worker.judge(StreamId(2), &denied, &|| 0, world.now, &world.shared);
        let is_passed = matches!(&steps[..], [Effect::Answer { outcome: Outcome::Passed(_), .. }]);
        assert_eq!((is_passed, steps.is_empty()), (passes, !passes), "{case}: {steps:?}");
        world.worker.forget(StreamId(2), world.now);
    }
}

#[test]
fn while_the_bucket_fails_its_parts_and_versions_are_left_to_it() {
    let judged = |path: &str, precondition: Precondition| {
        let mut world = World::streaming(serde_json::json!({"on_5xx": "origin"}));
        world.hold(1, path, Denial::Unavailable, true);
        let denied = DeniedResponse { precondition, ..denied() };
        let steps = world.worker.judge(StreamId(1), &denied, &|| 0, world.now, &world.shared);
        steps.iter().map(shown).next().unwrap()
    };
    let left = "release 1 bucket_unavailable";
    assert_eq!(judged("/a", Precondition::None), "GET origin /a");
    assert_eq!(judged("/a?partNumber=2", Precondition::None), left);
    assert_eq!(judged("/a", Precondition::Match), left);
}

#[test]
fn a_miss_that_is_only_observed_is_told_and_let_go() {
    let mut world = World::streaming(serde_json::json!({"observe": true}));
    world.hold(1, "/a", Denial::NotFound, true);
    let steps = world.worker.judge(StreamId(1), &denied(), &|| 0, world.now, &world.shared);
    assert!(matches!(&steps[..], [Effect::Observed(_), Effect::Release(StreamId(1), OBSERVED)]), "{steps:?}");
    assert_eq!(world.worker.release(StreamId(1), OBSERVED), Delivery::Tagged(OBSERVED));
}

#[test]
fn a_stream_that_is_gone_leaves_nothing_behind() {
    let mut world = World::new();
    world.hold(1, "/a", Denial::NotFound, true);
    world.judge(1, None);
    world.worker.forget(StreamId(1), world.now);
    assert_eq!(world.deliver(1, &Outcome::Stored), Delivery::Untouched);
    assert_eq!(world.worker.next_deadline(), Some(world.now + Duration::from_secs(5)), "only its lease is kept");
    assert_eq!(world.worker.fills(), 1, "its fill goes on");
    assert!(!world.worker.trailers(StreamId(1)));
    assert_eq!(world.judge(1, None), [""; 0]);
}

#[test]
fn a_body_too_large_for_envoys_buffer_is_a_reply_of_its_own() {
    for (length, direct) in [(MAX_BUFFERED, false), (MAX_BUFFERED + 1, true)] {
        for pieces in [&[(10, true)][..], &[(10, false), (20, true)]] {
            let mut world = World::new();
            world.hold(1, "/a", Denial::NotFound, false);
            for (size, end) in pieces {
                world.body(1, *size, *end);
            }
            let steps = world.worker.judge(StreamId(1), &denied(), &|| 0, world.now, &world.shared);
            let Some(Effect::Call { ticket, .. }) = steps.into_iter().next() else { panic!("a call") };
            let headers = Headers::new(vec![("content-length".into(), length.to_string().into_bytes())]);
            let object = Response { status: 200, headers, body: vec![b'x'; length] };
            let put = world.worker.finish_call(ticket, Some(object), 0, world.now, &world.shared);
            let Some(Effect::Call { ticket, .. }) = put.into_iter().next() else { panic!("a call") };
            let rejected = Response { status: 403, headers: Headers::default(), body: Vec::new() };
            let end = world.worker.finish_call(ticket, Some(rejected), 0, world.now, &world.shared);
            let outcome = end.into_iter().find_map(|step| match step {
                Effect::Answer { outcome, .. } => Some(outcome),
                _ => None,
            });
            let delivery = world.deliver(1, &outcome.unwrap());
            assert_eq!(matches!(delivery, Delivery::Direct(_)), direct, "{length} {pieces:?}");
        }
    }
}

#[test]
fn a_denial_that_stalls_is_never_passed_on_unfinished() {
    for outcome in [Outcome::NotFound, Outcome::Forbidden, Outcome::BucketUnavailable, Outcome::Stored] {
        let mut world = World::new();
        world.hold(1, "/a", Denial::NotFound, false);
        world.body(1, 10, false);
        world.now += READ_TIMEOUT;
        world.judge(1, None);
        assert!(matches!(world.deliver(1, &outcome), Delivery::Direct(_)), "{outcome:?}");
    }
}

#[test]
fn a_denial_of_which_only_the_headers_come_is_said_again() {
    let mut world = World::new();
    world.hold(1, "/a", Denial::Forbidden, false);
    let delivery = world.deliver(1, &Outcome::Forbidden);
    let Delivery::Direct(made) = delivery else { panic!("{delivery:?}") };
    assert_eq!((made.status, xml::error_code(&made.body.unwrap())), (403, Some("AccessDenied")));
}

#[test]
fn an_object_that_was_deleted_on_purpose_is_not_filled_unless_the_operator_says_so() {
    for (deleted, expected) in [("pass", "release 1 deleted"), ("refill", "GET origin /a")] {
        let mut world = World::with(serde_json::json!({"deleted": deleted}));
        world.hold(1, "/a", Denial::Deleted, false);
        world.body(1, 10, true);
        assert_eq!(world.judge(1, Some(DOCUMENT)), [expected]);
        if deleted == "pass" {
            assert_eq!(world.worker.release(StreamId(1), DELETED), Delivery::Tagged(DELETED));
        }
    }
}

#[test]
fn a_key_that_the_bucket_cannot_hold_is_handed_out_and_not_stored() {
    for code in ["KeyTooLongError", "XMinioInvalidObjectName", "InvalidArgument"] {
        let mut world = World::new();
        world.hold(1, "/a", Denial::BadRequest, false);
        world.body(1, 10, true);
        let document = format!("<Error><Code>{code}</Code></Error>");
        let steps = world.judge(1, Some(document.as_bytes()));
        if code == "InvalidArgument" {
            assert_eq!(steps, ["release 1 bad_request"]);
        } else {
            assert_eq!(steps, ["GET origin /a"]);
        }
    }
}

#[test]
fn a_head_is_passed_on_for_a_minute_after_a_get_has_shown_that_the_bucket_fails_all() {
    for (code, denial) in [("NoSuchBucket", Denial::NotFound), ("InvalidAccessKeyId", Denial::Forbidden)] {
        let mut world = World::new();
        world.hold(1, "/a", denial, false);
        world.body(1, 10, true);
        world.judge(1, Some(format!("<Error><Code>{code}</Code></Error>").as_bytes()));
        let other = if denial == Denial::NotFound { Denial::Forbidden } else { Denial::NotFound };
        for (stream, seconds, denial, released) in
            [(2, 0, denial, true), (3, 59, denial, true), (4, 0, other, false), (5, 1, denial, false)]
        {
            world.shared.pass(Duration::from_secs(seconds));
            world.hold(stream, &format!("/{stream}"), denial, true);
            let steps = world.judge(stream, None);
            assert_eq!(steps == [format!("release {stream} bucket_error")], released, "{code} {stream}: {steps:?}");
        }
    }
}

#[test]
fn a_get_that_shows_the_bucket_well_again_ends_what_is_passed_on() {
    let mut world = World::new();
    for (stream, code, denial) in
        [(1, "SignatureDoesNotMatch", Denial::Forbidden), (2, "AccessDenied", Denial::Forbidden)]
    {
        world.hold(stream, "/a", denial, false);
        world.body(stream, 10, true);
        world.judge(stream, Some(format!("<Error><Code>{code}</Code></Error>").as_bytes()));
    }
    world.hold(3, "/b", Denial::Forbidden, true);
    assert_eq!(world.judge(3, None), ["HEAD signer /b/b"]);
}

#[test]
fn an_error_of_one_object_says_nothing_of_others() {
    let mut world = World::new();
    world.hold(1, "/a", Denial::Forbidden, false);
    world.body(1, 10, true);
    world.judge(1, Some(b"<Error><Code>InvalidObjectState</Code></Error>"));
    world.hold(2, "/b", Denial::Forbidden, true);
    assert_eq!(world.judge(2, None), ["HEAD signer /b/b"]);
}

#[test]
fn a_put_that_finds_no_bucket_says_so_to_heads() {
    for (code, released) in [("NoSuchBucket", true), ("InvalidAccessKeyId", false)] {
        let mut world = World::new();
        world.hold(1, "/a", Denial::NotFound, true);
        world.readable();
        let mut steps = world.worker.judge(StreamId(1), &denied(), &|| 0, world.now, &world.shared);
        let object = Response {
            status: 200,
            headers: Headers::new(vec![("content-length".into(), b"1".to_vec())]),
            body: b"x".to_vec(),
        };
        let status = if released { 404 } else { 403 };
        let refusal = format!("<Error><Code>{code}</Code></Error>").into_bytes();
        let refused = Response { status, headers: Headers::default(), body: refusal };
        for response in [object, refused] {
            let Some(Effect::Call { ticket, .. }) = steps.into_iter().next() else { panic!("a call") };
            steps = world.worker.finish_call(ticket, Some(response), 0, world.now, &world.shared);
        }
        world.hold(2, "/b", Denial::NotFound, true);
        let judged = world.judge(2, None);
        assert_eq!(judged == ["release 2 bucket_error"], released, "{code}: {judged:?}");
    }
}

#[test]
fn an_origin_that_has_no_such_bucket_says_nothing_of_this_one() {
    let mut world = World::new();
    world.hold(1, "/a", Denial::NotFound, true);
    let mut steps = world.worker.judge(StreamId(1), &denied(), &|| 0, world.now, &world.shared);
    let Some(Effect::Call { ticket, .. }) = steps.pop() else { panic!("a call") };
    let body = b"<Error><Code>NoSuchBucket</Code></Error>".to_vec();
    let answer = Response { status: 404, headers: Headers::default(), body };
    world.worker.finish_call(ticket, Some(answer), 0, world.now, &world.shared);
    world.hold(2, "/b", Denial::NotFound, true);
    assert_eq!(world.judge(2, None), ["GET origin /b"]);
}

#[test]
fn a_denial_that_is_not_the_buckets_is_let_go() {
    let mut world = World::new();
    world.hold(1, "/a", Denial::Forbidden, true);
    let denied = DeniedResponse { details: Some(b"rbac_access_denied".to_vec()), ..denied() };
    let steps = world.worker.judge(StreamId(1), &denied, &|| 0, world.now, &world.shared);
    assert_eq!(steps.iter().map(shown).collect::<Vec<_>>(), ["release 1 not_the_bucket"]);
}

#[test]
fn each_stream_is_given_once_to_be_judged() {
    let mut world = World::new();
    world.hold(1, "/a", Denial::NotFound, true);
    world.hold(2, "/b", Denial::NotFound, false);
    world.hold(3, "/c", Denial::NotFound, false);
    assert_eq!(world.readable(), [(1, false)]);
    world.body(2, DOCUMENT.len(), true);
    assert_eq!(world.readable(), [(2, true)]);
    assert_eq!(world.readable(), []);
    assert_eq!(world.worker.next_deadline(), Some(world.now + READ_TIMEOUT));
    world.now += READ_TIMEOUT;
    assert_eq!(world.readable(), [(3, false)]);
    world.body(3, DOCUMENT.len(), true);
    assert_eq!(world.readable(), []);
    assert_eq!(world.worker.next_deadline(), None);
}

"""The clients' answers when a miss cannot simply be filled: the table of docs/answers.md, row by row."""

from __future__ import annotations

import pytest

from doubles import replies

from .conftest import Start, Unique
from .site import PUBLIC_URL, Site, error_code

BODY = b"an object of the origin\n"
PART_SIZE = 6 << 20

# The origin lacks the object, or does not give it.


@pytest.mark.parametrize("status", [404, 410])
def test_missing_at_the_origin_is_404_with_the_bucket_s_own_document(
    site: Site, unique: Unique, status: int
) -> None:
    path = unique()
    site.origin.script(path, replies.status(status, {"Content-Type": "text/html"}, b"<h1>gone</h1>"))
    answer = site.ask(path)
    assert (answer.status, answer.outcome, error_code(answer)) == (404, "not_found", "NoSuchKey")
    assert b"<RequestId>" in answer.body
    assert site.stored(path) is None
    head = site.ask(path, "HEAD")
    assert (head.status, head.outcome, head.body) == (404, "not_found", b"")


def test_missing_at_the_origin_is_404_also_where_the_bucket_said_403(strict: Site, unique: Unique) -> None:
    path = unique()
    with strict.store.without_list_right(strict.store.reader):
        answer = strict.ask(path)
    assert (answer.status, answer.outcome, error_code(answer)) == (404, "not_found", "NoSuchKey")
    assert path[1:].encode() in answer.body


@pytest.mark.parametrize("status", [400, 401, 402, 403, 405, 406, 418, 451])
def test_an_origin_that_refuses_is_502(strict: Site, unique: Unique, status: int) -> None:
    path = unique()
    strict.origin.script(path, replies.raw(f"HTTP/1.1 {status} No\r\nContent-Length: 4\r\n\r\nwhat".encode()))
    answer = strict.ask(path)
    assert (answer.status, answer.outcome) == (502, "origin_refused")
    assert error_code(answer)
    assert b"what" not in answer.body
    assert strict.stored(path) is None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_an_origin_in_trouble_is_502_and_asked_again_by_the_next_request(
    strict: Site, unique: Unique, status: int
) -> None:
    path = unique()
    strict.origin.script(path, replies.status(status))
    answer = strict.ask(path)
    assert (answer.status, answer.outcome) == (502, "origin_unavailable")
    assert error_code(answer)
    assert answer.header("retry-after")
    strict.origin.put(path, BODY)
    assert strict.follow(strict.ask(path)).body == BODY


@pytest.mark.parametrize(
    ("status", "retry_after", "told"), [(429, "7", "7"), (503, "86400", "60"), (401, "7", None)]
)
def test_quick_retries_of_a_client_do_not_ask_a_failing_origin_again(
    start: Start, unique: Unique, status: int, retry_after: str, told: str | None
) -> None:
    """All workers remember the failure."""
    site, path = start(workers=2, plugin={"failure_ttl": "1m"}), unique()
    site.origin.script(path, replies.status(status, {"Retry-After": retry_after}))
    first = site.ask(path)
    attempts = site.origin.count(path)
    assert first.header("retry-after") == told
    for answer in [site.ask(path) for _ in range(6)]:
        assert (answer.status, answer.outcome) == (first.status, first.outcome)
        assert answer.header("retry-after") == told
    assert site.origin.count(path) == attempts


def test_a_dead_origin_is_502(strict: Site, unique: Unique) -> None:
    answer = strict.ask(unique(under="/dead"))
    assert (answer.status, answer.outcome) == (502, "origin_unavailable")
    assert error_code(answer)
    assert answer.header("retry-after")


def test_a_silent_origin_is_504(strict: Site, unique: Unique) -> None:
    path = unique(under="/impatient")
    strict.origin.script(path, replies.silent())
    answer = strict.ask(path)
    assert (answer.status, answer.outcome) == (504, "origin_timeout")
    assert error_code(answer)
    assert answer.header("retry-after")
    strict.origin.put(path, BODY)
    assert strict.follow(strict.ask(path)).body == BODY


def test_the_next_origin_of_the_rule_is_asked_when_the_first_is_dead(strict: Site, unique: Unique) -> None:
    path = unique(under="/backed-up")
    strict.origin.put(path, BODY)
    assert strict.follow(strict.ask(path)).body == BODY


# The object cannot be stored.


def test_an_origin_without_ranges_is_served_beyond_a_part(strict: Site, unique: Unique) -> None:
    """Envoy takes up to 32 MiB as the answer to a call."""
    path, body = unique("film.mp4"), bytes(range(256)) * (PART_SIZE // 256) + b"end"
    strict.origin.put(path, body, ranges=False)
    miss = strict.ask(path)
    assert (miss.status, miss.outcome) == (302, "stored")
    assert strict.follow(miss).body == body


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_store_that_refuses_to_write_does_not_break_the_site(
    strict: Site, unique: Unique, method: str
) -> None:
    path = unique("page.html")
    strict.origin.put(path, BODY, {"Content-Type": "text/html"})
    strict.store.fault("PutObject", path[1:], status=403, code="AccessDenied")
    answer = strict.ask(path, method)
    assert (answer.status, answer.outcome) == (200, "not_stored")
    assert answer.body == (BODY if method == "GET" else b"")
    assert (answer.header("content-type"), answer.header("content-length")) == ("text/html", str(len(BODY)))
    assert len(strict.store.calls("PutObject", path[1:])) == 1
    assert strict.follow(strict.ask(path)).body == BODY
    assert strict.origin.count(path) == 2


def test_a_store_that_is_dead_for_writes_does_not_break_the_site(strict: Site, unique: Unique) -> None:
    path = unique()
    strict.origin.put(path, BODY)
    strict.store.reset("PutObject", path[1:], times=3)
    answer = strict.ask(path)
    assert (answer.status, answer.outcome, answer.body) == (200, "not_stored", BODY)
    assert strict.follow(strict.ask(path)).body == BODY


@pytest.mark.parametrize(
    ("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (409, "ConditionalRequestConflict")]
)
def test_a_put_that_may_succeed_later_is_tried_again(
    strict: Site, unique: Unique, status: int, code: str
) -> None:
    path = unique()
    strict.origin.put(path, BODY)
    strict.store.fault("PutObject", path[1:], times=2, status=status, code=code)
    assert strict.ask(path).outcome == "stored"
    puts = strict.store.calls("PutObject", path[1:])
    assert [put.status for put in puts] == [status, status, 200]
    assert {put.request.header("if-none-match") for put in puts} == {"*"}
    assert strict.origin.count(path) == 1
    assert strict.stored(path) == BODY


def test_a_put_whose_answer_is_lost_is_found_to_have_succeeded(strict: Site, unique: Unique) -> None:
    path = unique()
    strict.origin.put(path, BODY)
    strict.store.reset("PutObject", path[1:], after=True)
    miss = strict.ask(path)
    assert (miss.status, miss.outcome) == (302, "stored")
    assert strict.follow(miss).body == BODY
    assert [put.status for put in strict.store.calls("PutObject", path[1:])] == [None, 412]


def test_an_object_that_somebody_else_stores_meanwhile_is_kept(site: Site, unique: Unique) -> None:
    path = unique()
    site.origin.put(path, BODY)
    gate = site.origin.hold(path)
    with site.open() as client:
        client.send("GET", path)
        site.origin.wait_for(path)
        site.store.put(path[1:], b"newer")
        gate.open()
        miss = client.receive("GET")
    assert (miss.status, miss.outcome) == (302, "exists")
    assert site.follow(miss).body == b"newer"
    assert site.stored(path) == b"newer"


def test_a_store_that_lies_about_a_put_is_not_asked_to_in_a_loop(strict: Site, unique: Unique) -> None:
    """The client that follows the 302 gets the bucket's answer, not another 302 to the same place."""
    path = unique()
    strict.origin.put(path, BODY)
    strict.store.swallow("PutObject", path[1:])
    assert strict.ask(path).outcome == "stored"
    followed = strict.ask(path)
    assert (followed.status, error_code(followed), followed.outcome) == (404, "NoSuchKey", "loop")
    assert strict.origin.count(path) == 1


def test_a_revoked_write_credential_does_not_break_the_site(strict: Site, unique: Unique) -> None:
    path = unique()
    strict.origin.put(path, BODY)
    with strict.store.with_secret(strict.store.writer, "another secret"):
        answer = strict.ask(path)
    assert (answer.status, answer.outcome, answer.body) == (200, "not_stored", BODY)


def test_without_its_signer_the_edge_serves_what_it_can(start: Start, unique: Unique) -> None:
    site, path, stored = start(), unique(), unique("stored")
    site.origin.put(path, BODY)
    site.store.put(stored[1:], b"stored")
    site.stack.signer.stop()
    assert site.ask(stored).body == b"stored"
    answer = site.ask(path)
    assert (answer.status, answer.outcome, answer.body) == (200, "not_stored", BODY)
    with site.store.without_list_right(site.store.reader):
        denied = site.ask(path)
    assert (denied.status, denied.outcome) == (503, "bucket_unavailable")
    assert error_code(denied)
    assert denied.header("retry-after")
    assert site.origin.count(path) == 1


# The fill takes long.


def test_a_put_that_never_ends_does_not_hold_the_client(strict: Site, unique: Unique) -> None:
    path = unique()
    strict.origin.put(path, BODY)
    strict.store.stall("PutObject", path[1:])
    answer = strict.ask(path)
    assert (answer.status, answer.outcome) == (503, "filling")


@pytest.mark.parametrize("under", ["", "/public"])
def test_a_client_does_not_wait_longer_than_the_wait_and_the_fill_goes_on(
    strict: Site, unique: Unique, under: str
) -> None:
    path = unique(under=under)
    strict.origin.put(path, BODY)
    gate = strict.origin.hold(path)
    answer = strict.ask(path)
    assert answer.outcome == "filling"
    if under:
        assert (answer.status, answer.header("location")) == (302, f"{PUBLIC_URL}{path}")
    else:
        assert (answer.status, bool(answer.header("retry-after"))) == (503, True)
    gate.open()
    strict.store.requests.wait(lambda call: (call.operation, call.key) == ("PutObject", path[1:]))
    assert strict.ask(path).body == BODY
    assert strict.origin.count(path) == 1


# The denial is no miss.


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "InvalidAccessKeyId"),
        (403, "InvalidObjectState"),
        (403, "RequestTimeTooSkewed"),
        (403, "SignatureDoesNotMatch"),
        (404, "NoSuchBucket"),
        (500, "InternalError"),
        (503, "SlowDown"),
    ],
)
def test_a_bucket_that_is_broken_is_no_miss(strict: Site, unique: Unique, status: int, code: str) -> None:
    path = unique()
    strict.store.fault("GetObject", path[1:], status=status, code=code)
    before = bucket_errors(strict)
    answer = strict.ask(path)
    assert (answer.status, error_code(answer), answer.outcome) == (status, code, None)
    assert "x-amz-request-id" in answer.names
    assert strict.origin.count(path) == 0
    assert bucket_errors(strict) - before == (1 if status < 500 else 0)


def test_a_wrong_read_credential_is_no_miss(strict: Site, unique: Unique) -> None:
    path = unique()
    with strict.store.with_secret(strict.store.reader, "another secret"):
        answer = strict.ask(path)
    assert (answer.status, error_code(answer), answer.outcome) == (403, "SignatureDoesNotMatch", None)
    assert strict.origin.count(path) == 0


def test_an_object_that_the_reader_may_not_read_stays_forbidden(strict: Site, unique: Unique) -> None:
    path = unique()
    strict.store.put(path[1:], b"secret", age=3600)
    strict.store.forbid(path[1:])
    strict.origin.put(path, BODY)
    answer = strict.ask(path)
    assert (answer.status, error_code(answer), answer.outcome) == (403, "AccessDenied", None)
    assert b"<RequestId>" in answer.body
    (head,) = strict.store.calls("HeadObject", path[1:])
    assert (head.access_key, head.status) == (strict.store.writer.access_key, 200)
    assert strict.origin.count(path) == 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("writer_may_list", [True, False])
def test_a_403_for_a_missing_key_is_a_miss(
    strict: Site, unique: Unique, method: str, writer_may_list: bool
) -> None:
    path, store = unique(), strict.store
    strict.origin.put(path, BODY)
    with store.without_list_right(store.reader, *([] if writer_may_list else [store.writer])):
        miss = strict.ask(path, method)
    assert (miss.status, miss.outcome) == (302, "stored")
    asked_by_writer = [
        call for call in store.calls("HeadObject", path[1:]) if call.access_key == store.writer.access_key
    ]
    assert [head.status for head in asked_by_writer] == [404 if writer_may_list else 403]
    assert strict.follow(miss).body == BODY


def test_a_403_that_a_rule_takes_for_a_miss_is_filled_without_asking(strict: Site, unique: Unique) -> None:
    path = unique(under="/403-is-a-miss")
    strict.origin.put(path, BODY)
    with strict.store.without_list_right(strict.store.reader):
        assert strict.ask(path).outcome == "stored"
    assert strict.store.calls("HeadObject", path[1:]) == []


def test_an_object_that_was_stored_since_the_bucket_denied_it_is_the_bucket_s_to_judge_again(
    strict: Site, unique: Unique
) -> None:
    missing, denied = unique("missing"), unique("denied")
    strict.store.overtake("HeadObject", missing[1:], BODY)
    with strict.store.without_list_right(strict.store.reader):
        miss = strict.ask(missing)
    assert (miss.status, miss.outcome, strict.follow(miss).body) == (302, "exists", BODY)
    strict.store.put(denied[1:], b"secret")
    strict.store.forbid(denied[1:])
    miss = strict.ask(denied)
    assert (miss.status, miss.outcome, miss.body) == (302, "exists", b"")
    assert error_code(strict.follow(miss)) == "AccessDenied"
    assert strict.origin.count(missing) == strict.origin.count(denied) == 0


def test_a_403_for_an_object_that_turns_out_to_exist_is_the_bucket_s_to_repeat(
    strict: Site, unique: Unique
) -> None:
    path = unique(under="/403-is-a-miss")
    strict.store.put(path[1:], b"secret")
    strict.store.forbid(path[1:])
    strict.origin.put(path, BODY)
    miss = strict.ask(path)
    assert (miss.status, miss.outcome, miss.body) == (302, "exists", b"")
    answer = strict.follow(miss)
    assert (answer.status, error_code(answer)) == (403, "AccessDenied")
    assert strict.stored(path) == b"secret"


@pytest.mark.parametrize("under", ["/403-is-no-miss", "/unmirrored"])
def test_a_403_is_left_alone_where_the_rule_says_so(strict: Site, unique: Unique, under: str) -> None:
    path = unique(under=under)
    strict.origin.put(path, BODY)
    with strict.store.without_list_right(strict.store.reader):
        answer = strict.ask(path)
    assert (answer.status, error_code(answer), answer.outcome) == (403, "AccessDenied", None)
    assert strict.origin.count(path) == 0


def test_a_404_is_left_alone_where_nothing_is_mirrored(strict: Site, unique: Unique) -> None:
    path = unique(under="/unmirrored")
    strict.origin.put(path, BODY)
    answer = strict.ask(path)
    assert (answer.status, error_code(answer), answer.outcome) == (404, "NoSuchKey", None)
    assert strict.origin.count(path) == 0


def bucket_errors(site: Site) -> int:
    return sum(site.stats("requests_total.outcome.bucket_error").values())

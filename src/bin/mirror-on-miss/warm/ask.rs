//! The requests for one key, until the bucket has it or it is known why not.

use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::{HeaderMap, Response};

/// The end of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The bucket has it.
    Moved,
    Failed(Failure),
}

/// The reason for which the bucket does not have a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Status of the last answer, 0 if there was none.
    pub status: u16,
    /// `x-mirror-on-miss` of it.
    pub outcome: String,
    pub why: String,
}

/// The next step after an answer.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    End(End),
    /// It was stored a moment ago. A request will tell.
    Ask,
    /// It failed, and may succeed later.
    Retry(Failure),
    /// It is being stored.
    Wait(Failure),
}

/// Requests that may fail, or find nothing after it was stored, before a key has failed.
const TRIES: u32 = 5;
/// The longest that the edge may be silent: `wait`, and the calls that are under way then.
const SILENCE: Duration = Duration::from_secs(120);
/// The longest pause. A `Retry-After` above it is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Makes a client that follows nothing.
pub fn client(concurrency: usize) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(concurrency)
        .max_idle_connections_per_host(concurrency)
        .proxy(None)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(SILENCE))
        .user_agent(concat!("mirror-on-miss-warm/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::new_with_config(config)
}

/// Asks for a URL until the bucket has its object.
pub fn ask(client: &Agent, url: &str, patience: Duration) -> End {
    let begun = Instant::now();
    let mut tries = 0_u32;
    let mut waits = 0_u32;
    loop {
        let (next, asked_for) = match client.head(url).call() {
            Ok(response) => (judged(&response), retry_after(response.headers())),
            Err(error) => (Next::Retry(Failure { status: 0, outcome: String::new(), why: error.to_string() }), None),
        };
        let (failure, pause) = match next {
            Next::End(end) => return end,
            Next::Ask => {
                tries = tries.saturating_add(1);
                let why = "it was stored, and the bucket still does not have it".to_owned();
                let pause = if tries == 1 { Duration::ZERO } else { growing(tries) };
                (Failure { status: 302, outcome: "stored".to_owned(), why }, pause)
            }
            Next::Retry(failure) => {
                tries = tries.saturating_add(1);
                (failure, asked_for.unwrap_or(growing(tries)))
            }
            Next::Wait(failure) => {
                waits = waits.saturating_add(1);
                (failure, asked_for.unwrap_or(growing(waits)))
            }
        };
        if tries >= TRIES || begun.elapsed() > patience {
            return End::Failed(failure);
        }
        std::thread::sleep(pause.min(LONGEST_PAUSE));
    }
}

/// Returns 1, 2, 4 ... seconds.
fn growing(times: u32) -> Duration {
    Duration::from_secs(1_u64.checked_shl(times.saturating_sub(1)).unwrap_or(u64::MAX)).min(LONGEST_PAUSE)
}

fn judged<T>(response: &Response<T>) -> Next {
    let outcome = response.headers().get("x-mirror-on-miss").and_then(|value| value.to_str().ok());
    judge(response.status().as_u16(), outcome)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get("retry-after")?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn judge(status: u16, outcome: Option<&str>) -> Next {
    let failure = |why: &str| Failure { status, outcome: outcome.unwrap_or_default().to_owned(), why: why.to_owned() };
    let failed = |why: &str| Next::End(End::Failed(failure(why)));
    match (status, outcome) {
        (200, None) => Next::End(End::Moved),
        (302, Some("stored" | "exists")) => Next::Ask,
        (_, Some("loop")) => Next::Retry(failure("it was stored, and the bucket does not have it")),
        (_, Some("busy" | "filling" | "origin" | "served" | "streamed")) => Next::Wait(failure("it is not stored yet")),
        (200, Some("head")) => failed("the rule says on_head: origin or store: false, so a HEAD stores nothing"),
        (_, Some("corrupt")) => failed("the origin's bytes contradict the checksum that came with them"),
        (_, Some("deleted")) => failed("the bucket says that it was deleted on purpose"),
        (_, Some("forbidden")) => failed("the bucket has it, and the edge's reader may not read it"),
        (_, Some("not_found")) => failed("the origin has no such object"),
        (_, Some("not_stored")) => failed("it is not stored: the bucket does not take it, or the rule says so"),
        (_, Some("observed")) => failed("the rule says observe: true, so nothing is stored"),
        (_, Some("origin_refused")) => failed("the origin refuses to give it"),
        (_, Some("private")) => failed("the origin calls it private, and the rule stores no such object"),
        (_, Some("too_large")) => failed("it is too large, or nothing proves its end or joins its parts"),
        (_, Some("wrong_type")) => failed("the rule stores no object of its type"),
        (302, None) => failed("the edge redirects this path elsewhere"),
        (404, None) => failed("the bucket has none, and no rule mirrors it for HEAD: see mirror-on-miss explain"),
        (403, None) => failed("the bucket, or the edge, forbids it"),
        (429 | 500 | 502 | 503 | 504, _) => Next::Retry(failure("the edge, the bucket or the origin fails")),
        _ => failed("an answer that no fill gives"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(status: u16, outcome: Option<&str>) -> bool {
        matches!(judge(status, outcome), Next::End(End::Failed(_)))
    }

    #[test]
    fn only_the_buckets_own_200_is_the_end() {
        assert_eq!(judge(200, None), Next::End(End::Moved));
        assert!(failed(200, Some("head")) && failed(200, Some("not_stored")) && failed(206, None));
        assert!(matches!(judge(200, Some("served")), Next::Wait(_)));
        assert_eq!(judge(302, Some("stored")), Next::Ask);
        assert_eq!(judge(302, Some("exists")), Next::Ask);
    }

    #[test]
    fn what_may_pass_is_asked_again_and_what_stays_has_failed() {
        assert!(
            matches!(judge(302, Some("filling")), Next::Wait(_)) && matches!(judge(503, Some("busy")), Next::Wait(_))
        );
        assert!(
            matches!(judge(502, Some("origin_unavailable")), Next::Retry(_))
                && matches!(judge(503, None), Next::Retry(_))
        );
        assert!(
            failed(404, Some("not_found")) && failed(404, None) && failed(502, Some("too_large")) && failed(403, None)
        );
        assert!(failed(302, None), "to another path");
        assert!(failed(404, Some("observed")) && failed(200, Some("private")) && failed(404, Some("deleted")));
        assert!(matches!(judge(404, Some("loop")), Next::Retry(_)));
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        assert_eq!([1, 2, 3, 7, 200].map(|times| growing(times).as_secs()), [1, 2, 4, 60, 60]);
    }
}

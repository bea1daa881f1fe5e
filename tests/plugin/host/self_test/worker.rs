//! The single things of a worker: configuration, logs, time, shared data and queues, metrics, properties.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, LogLevel, MetricType, Status};

use super::super::Envoy;
use super::{REQUEST, SCRIPT, Script, header, note, root_context, seen, tell_root};

/// 2026-01-01T00:00:00Z.
const START_MILLIS: u128 = 1_767_225_600_000;

fn configuration() -> Option<Vec<u8>> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX).unwrap()
}

fn set_period(millis: u64) {
    hostcalls::set_tick_period(Duration::from_millis(millis)).unwrap();
}

fn note_time() {
    let now = hostcalls::get_current_time().unwrap();
    note(now.duration_since(UNIX_EPOCH).unwrap().as_millis() - START_MILLIS);
}

#[test]
fn the_configuration_is_there_in_on_configure_only() {
    let configure = || {
        note(String::from_utf8(configuration().unwrap()).unwrap());
        true
    };
    let request_headers = |_| {
        note(format!("{:?}", configuration()));
        Action::Continue
    };
    SCRIPT.set(Script { configure, request_headers, ..Script::DO_NOTHING });
    let mut envoy = Envoy::builder().root_context(root_context).start("{}");
    envoy.get("/a");
    assert_eq!(seen(), ["{}", "None"]);
}

#[test]
fn a_refused_configuration_leaves_log_lines() {
    let configure = || {
        log::error!("no bucket");
        hostcalls::log(LogLevel::Critical, "no origin").unwrap();
        false
    };
    SCRIPT.set(Script { configure, ..Script::DO_NOTHING });
    let refused = Envoy::builder().root_context(root_context).try_start("{}");
    assert_eq!(refused.unwrap_err(), ["error: no bucket", "critical: no origin"]);
}

#[test]
fn a_thread_can_start_one_envoy_after_the_other() {
    for _ in 0..2 {
        let mut envoy = Script::DO_NOTHING.start();
        envoy.get("/a");
        assert_eq!(envoy.logs(), [] as [&str; 0]);
    }
}

#[test]
fn an_envoy_is_not_left_with_violations() {
    let response_headers = |_| {
        hostcalls::resume_http_response().unwrap();
        Action::Continue
    };
    let left = std::thread::spawn(move || {
        let mut envoy = Script { response_headers, ..Script::DO_NOTHING }.start();
        envoy.get("/a").bucket_answers(200, &[], "");
    });
    assert!(left.join().is_err());
}

#[test]
fn an_envoy_is_not_left_with_a_secret_in_its_log() {
    let request_headers = |_| {
        log::warn!("{}", header(REQUEST, "cookie"));
        Action::Continue
    };
    let left = std::thread::spawn(move || {
        let mut envoy = Script { request_headers, ..Script::DO_NOTHING }.start();
        envoy.get("/a");
    });
    let panic = left.join().unwrap_err().downcast::<String>().unwrap();
    assert!(panic.contains("a secret in the log: warn: session="), "{panic}");
}

#[test]
fn the_module_gets_virtual_time_from_the_standard_library_too() {
    let request_headers = |_| {
        note_time();
        note(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() - START_MILLIS);
        note(format!("{:?}", Instant::now()));
        Action::Continue
    };
    let mut envoy = Script { request_headers, ..Script::DO_NOTHING }.start();
    envoy.advance(Duration::from_millis(1500));
    envoy.get("/a");
    envoy.get("/b");
    let times = seen();
    assert_eq!(times[..2], ["1500", "1500"]);
    assert_eq!(times[..3], times[3..], "no time passes by itself");
    assert!(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() - START_MILLIS != 1500);
}

#[test]
fn a_clock_that_is_set_changes_the_time_of_day_and_nothing_else() {
    let request_headers = |_| {
        note_time();
        note(format!("{:?}", Instant::now()));
        Action::Continue
    };
    let mut envoy = Script { request_headers, ..Script::DO_NOTHING }.start();
    envoy.get("/a");
    envoy.set_clock(3600);
    envoy.get("/b");
    let times = seen();
    assert_eq!((times[0].as_str(), times[2].as_str()), ("0", "3600000"));
    assert_eq!(times[1], times[3], "no time has passed");
}

#[test]
fn there_are_no_ticks_without_a_period() {
    let mut envoy = Script { tick: || note("tick"), ..Script::DO_NOTHING }.start();
    envoy.tick();
    envoy.advance(Duration::from_secs(60));
    assert_eq!((seen().len(), envoy.tick_period()), (0, None));
}

#[test]
fn ticks_come_once_a_period_until_it_is_zero() {
    let configure = || {
        set_period(100);
        true
    };
    let mut envoy = Script { configure, tick: note_time, ..Script::DO_NOTHING }.start();
    envoy.tick();
    envoy.advance(Duration::from_millis(250));
    assert_eq!(seen(), ["100", "200", "300"]);
    assert_eq!(envoy.tick_period(), Some(Duration::from_millis(100)));

    SCRIPT.set(Script { tick: || set_period(0), ..Script::DO_NOTHING });
    envoy.advance(Duration::from_secs(1));
    assert_eq!(envoy.tick_period(), None);
}

#[test]
fn a_period_that_is_set_again_starts_again() {
    let request_headers = |_| {
        set_period(100);
        Action::Continue
    };
    let mut envoy = Script { request_headers, tick: note_time, ..Script::DO_NOTHING }.start();
    envoy.get("/a");
    envoy.advance(Duration::from_millis(90));
    envoy.get("/b");
    envoy.advance(Duration::from_millis(90));
    assert_eq!(seen(), [] as [&str; 0]);
    envoy.advance(Duration::from_millis(10));
    assert_eq!(seen(), ["190"]);
}

#[test]
fn a_queue_is_heard_of_after_the_event_that_filled_it() {
    let request_headers = |stream| {
        tell_root(stream);
        tell_root(stream);
        note("request");
        Action::Continue
    };
    let mut envoy = Script { request_headers, told_of: |_| note("told"), ..Script::DO_NOTHING }.start();
    envoy.get("/a");
    assert_eq!(seen(), ["request", "told", "told"]);
    envoy.assert_idle();
}

#[test]
fn a_queue_that_nobody_registered_is_not_found() {
    let request_headers = |_| {
        note(format!("{:?}", hostcalls::resolve_shared_queue("", "other")));
        note(format!("{:?}", hostcalls::enqueue_shared_queue(99, None)));
        note(format!("{:?}", hostcalls::dequeue_shared_queue(99)));
        Action::Continue
    };
    let mut envoy = Script { request_headers, ..Script::DO_NOTHING }.start();
    envoy.get("/a");
    assert_eq!(seen(), ["Ok(None)", "Err(NotFound)", "Err(NotFound)"]);
}

#[test]
fn shared_data_is_written_if_it_has_not_changed() {
    let request_headers = |_| {
        let set = |value: &[u8], cas| hostcalls::set_shared_data("key", Some(value), cas);
        assert_eq!(hostcalls::get_shared_data("key"), Ok((None, None)));
        assert_eq!(set(b"one", Some(77)), Ok(()), "cas counts for nothing where there is no key");
        let (_, cas) = hostcalls::get_shared_data("key").unwrap();
        assert_eq!(set(b"two", cas), Ok(()));
        assert_eq!(set(b"three", cas), Err(Status::CasMismatch));
        Action::Continue
    };
    let mut envoy = Script { request_headers, ..Script::DO_NOTHING }.start();
    envoy.get("/a");
    assert_eq!(envoy.shared_data("key"), Some(b"two".to_vec()));
    assert_eq!(envoy.shared_data("other"), None);
}

#[test]
fn metrics_of_one_name_are_one() {
    let request_headers = |_| {
        let [first, second] = [(); 2].map(|()| hostcalls::define_metric(MetricType::Counter, "fills").unwrap());
        hostcalls::increment_metric(first, 2).unwrap();
        hostcalls::record_metric(second, 3).unwrap();
        note(format!("{:?} {:?}", hostcalls::get_metric(first), hostcalls::increment_metric(first, 0)));

        let gauge = hostcalls::define_metric(MetricType::Gauge, "waiting").unwrap();
        hostcalls::record_metric(gauge, 9).unwrap();
        hostcalls::increment_metric(gauge, -2).unwrap();

        let histogram = hostcalls::define_metric(MetricType::Histogram, "millis").unwrap();
        hostcalls::record_metric(histogram, 5).unwrap();
        note(format!("{:?} {:?}", hostcalls::get_metric(histogram), hostcalls::get_metric(0)));
        Action::Continue
    };
    let mut envoy = Script { request_headers, ..Script::DO_NOTHING }.start();
    envoy.get("/a");
    assert_eq!(seen(), ["Ok(5) Err(BadArgument)", "Err(BadArgument) Err(NotFound)"]);
    assert_eq!((envoy.metric("fills"), envoy.metric("waiting"), envoy.metric("none")), (5, 7, 0));
    assert_eq!(envoy.samples("millis"), [5]);
}

#[test]
fn the_time_of_a_request_is_known_as_long_as_its_stream() {
    fn look() {
        let time = hostcalls::get_property(vec!["request", "time"]).unwrap().unwrap();
        note(u128::from(u64::from_le_bytes(time.try_into().unwrap())) / 1_000_000 - START_MILLIS);
    }
    let response_headers = |_| {
        look();
        Action::Continue
    };
    let mut envoy = Script { response_headers, ..Script::DO_NOTHING }.start();
    envoy.advance(Duration::from_millis(10));
    let client = envoy.get("/a");
    envoy.advance(Duration::from_millis(10));
    client.bucket_answers(200, &[], "x");
    assert_eq!(seen()[0], "10");
}

#[test]
fn properties_are_what_the_test_says() {
    let request_headers = |_| {
        note(format!("{:?}", hostcalls::get_property(vec!["xds", "node", "id"]).unwrap().map(String::from_utf8)));
        note(hostcalls::get_property(vec!["plugin_name"]).unwrap().is_some());
        note(format!("{:?}", hostcalls::get_property(vec!["xds", "node"]).unwrap().map(String::from_utf8)));
        Action::Continue
    };
    let mut envoy = Script { request_headers, ..Script::DO_NOTHING }.start();
    envoy.set_property(&["xds", "node", "id"], "edge-1");
    envoy.get("/a");
    let map = r#"Some(Ok("\u{1}\0\0\0\u{2}\0\0\0\u{6}\0\0\0id\0edge-1\0"))"#;
    assert_eq!(seen(), [r#"Some(Ok("edge-1"))"#, "false", map], "a map is written as headers are");
}

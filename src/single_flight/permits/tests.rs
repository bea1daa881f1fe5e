//! Tests of the table of permits.

use super::*;
use crate::config::{Config, Pin};
use crate::http::Headers;
use crate::object::key::Key;
use crate::single_flight::leases::tests::FakeSharedHost;
use crate::single_flight::tests::fill_key;

fn leases() -> Leases {
    let config = r#"{"bucket": {"cluster": "s", "authority": "s"}, "origin": {"cluster": "o", "authority": "o"}}"#;
    Leases::new(&Config::parse(config.as_bytes(), &|_| None).unwrap(), 0, 1)
}

fn hash(leases: &Leases, key: &str) -> KeyHash {
    leases.hash(&fill_key(key))
}

fn permit(headers: &[(&str, &str)], pin: Pin) -> Permit {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let headers = Headers::new(headers);
    let all = Metadata::new(&headers, "//o/a", &Key::from_path(b"a").unwrap(), false, &[]);
    let metadata = Metadata::of_served(all.served());
    let object = PassedObject { metadata, version: Version::of(&headers, 9, pin), moved: None };
    Permit { place: Place { mirror: 1, origin: 2 }, object: Rc::new(object) }
}

#[test]
fn a_permit_reads_as_it_was_written_in_every_worker() {
    let (shared, one, two) = (FakeSharedHost::new(), leases(), leases());
    let date = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    let later = ("date", "Mon, 07 Nov 1994 08:49:37 GMT");
    for (pin, headers) in [
        (Pin::Strong, &[("etag", "\"a\""), ("content-type", "video/mp4"), ("cache-control", "max-age=1, public")][..]),
        (Pin::Strong, &[date, later, ("content-encoding", "gzip"), ("content-disposition", "attachment")]),
        (Pin::LastModified, &[date]),
        (Pin::Etag, &[("etag", "W/\"a\"")]),
        (Pin::Length, &[]),
    ] {
        let mut granted = permit(headers, pin);
        for moved in [None, Some(false), Some(true)] {
            Rc::make_mut(&mut granted.object).moved = moved.map(|is_own| Moved {
                cluster: "outbound|443||cdn".to_owned(),
                authority: "cdn:8443".to_owned(),
                path: "/a?b=c\td".to_owned(),
                is_own,
            });
            assert!(one.grant(&shared, hash(&one, "a"), &granted));
            assert_eq!(two.permit(&shared, hash(&two, "a")), Some(granted.clone()), "{pin:?}");
            assert_eq!(two.permit(&shared, hash(&two, "b")), None);
        }
    }
}

#[test]
fn a_permit_holds_for_thirty_seconds_unless_it_is_renewed_or_revoked() {
    let (shared, leases) = (FakeSharedHost::new(), leases());
    let (hash, granted) = (hash(&leases, "a"), permit(&[("etag", "\"a\"")], Pin::Strong));
    let holds = || leases.permit(&shared, hash).is_some();
    leases.renew_permit(&shared, hash);
    assert!(!holds(), "nothing is renewed that was not granted");
    assert!(leases.grant(&shared, hash, &granted));
    for _ in 0..3 {
        shared.pass(PERMIT - Duration::from_millis(1));
        assert!(holds());
        leases.renew_permit(&shared, hash);
    }
    shared.set_back(SKEW);
    assert!(holds(), "for a worker whose time is a little behind");
    shared.set_back(SKEW);
    assert!(!holds(), "the clock was set back");
    shared.pass(SKEW + SKEW);
    shared.pass(PERMIT);
    assert!(!holds());
    assert!(leases.grant(&shared, hash, &granted) && holds());
    leases.revoke(&shared, hash);
    assert!(!holds());
}

#[test]
fn keys_share_sets_and_what_finds_no_room_has_no_permit() {
    let (shared, leases) = (FakeSharedHost::new(), leases());
    let granted = permit(&[("etag", "\"a\"")], Pin::Strong);
    let first = hash(&leases, "0");
    let mut keys = (0..).map(|number: u32| hash(&leases, &number.to_string())).filter(|hash| set(*hash) == set(first));
    let keys: Vec<KeyHash> = keys.by_ref().take(WAYS + 1).collect();
    for (number, hash) in keys.iter().enumerate() {
        assert_eq!(leases.grant(&shared, *hash, &granted), number < WAYS, "{number}");
    }
    assert!(leases.grant(&shared, first, &granted), "one that has room keeps it");
    leases.revoke(&shared, first);
    assert!(leases.grant(&shared, keys[WAYS], &granted));
}

#[test]
fn another_worker_that_was_faster_loses_nothing() {
    let (shared, leases) = (FakeSharedHost::new(), leases());
    shared.lost_races.set(2);
    assert!(leases.grant(&shared, hash(&leases, "a"), &permit(&[("etag", "\"a\"")], Pin::Strong)));
    shared.lost_races.set(TRIES);
    assert!(!leases.grant(&shared, hash(&leases, "b"), &permit(&[("etag", "\"a\"")], Pin::Strong)));
}

#[test]
fn what_does_not_fit_its_lines_is_no_permit() {
    let mut granted = permit(&[("etag", "\"a\"")], Pin::Strong);
    for cluster in ["a\nb".to_owned(), "a".repeat(MAX_BYTES)] {
        let (authority, path) = ("o".to_owned(), "/a".to_owned());
        Rc::make_mut(&mut granted.object).moved = Some(Moved { cluster, authority, path, is_own: true });
        assert_eq!(write(&granted), None);
    }
    for text in ["", "1\n2", "1\n2\n0\nx\n\n3\"a\"\n\n\n", "1\n2\n0\n9\n\n\n\n\n"] {
        assert_eq!(read(text), None, "{text:?}");
    }
}

#[test]
fn permits_stand_behind_the_leases_and_spread_over_their_sets() {
    let leases = leases();
    let sets: std::collections::BTreeSet<u32> = (0..512).map(|key| set(hash(&leases, &key.to_string()))).collect();
    assert!(sets.iter().all(|set| (SETS..SETS + PERMIT_SETS).contains(set)), "{sets:?}");
    assert!(sets.len() > 128, "{} sets", sets.len());
}

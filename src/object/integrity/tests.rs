use super::*;
use proptest::prelude::*;

const BODY: &[u8] = b"123456789";
const MD5: &str = "JfnnlDI7RTiF9RgfG2JNCw==";
const MD5_HEX: &str = "25f9e794323b453885f5181f1b624d0b";
const SHA1: &str = "98O8HYCOBHMq32eZZczDTKeuNEE=";
const SHA256: &str = "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=";
const SHA512: &str = "2eZ2LdHI6vbWGzxhkvxAjU1tXxF20MKRabwk5xw/J0rSf81YEbMT1oH35V7ALXPUmclUVba1u1A6z1dPuo/+hQ==";
const CRC32: &str = "y/Q5Jg==";
const CRC32C: &str = "4waSgw==";
const CRC64_NVME: &str = "rosUhgp5mIg=";
/// MD5 of nothing.
const OTHER_MD5: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";

/// Makes an answer with [`BODY`], or with its beginning.
fn response(status: u16, headers: &[(&str, &str)], length: usize) -> Response {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    Response { status, headers: Headers::new(headers), body: BODY[..length].to_vec() }
}

/// Names the headers that count in an answer with all of the object.
fn counting(status: u16, headers: &[(&str, &str)]) -> Vec<&'static str> {
    let announced = ExpectedDigests::read(&response(status, headers, BODY.len()), 9);
    announced.0.iter().map(|expected| expected.header).collect()
}

/// Names the headers that count in a 206 with a part of the object.
fn counting_in_a_part(headers: &[(&str, &str)]) -> Vec<&'static str> {
    ExpectedDigests::read(&response(206, headers, 4), 9).0.iter().map(|expected| expected.header).collect()
}

fn verified(headers: &[(&str, &str)]) -> Result<(), &'static str> {
    ExpectedDigests::read(&response(200, headers, BODY.len()), 9).verify(BODY)
}

/// Lists one announcement for each header and algorithm.
fn every_header() -> Vec<(&'static str, String)> {
    vec![
        ("content-digest", format!("sha-256=:{SHA256}:")),
        ("content-md5", MD5.into()),
        ("digest", format!("SHA-256={SHA256}")),
        ("digest", format!("md5={MD5}")),
        ("digest", "CRC32C=e3069283".into()),
        ("digest", format!("SHA={SHA1}")),
        ("repr-digest", format!("sha-512=:{SHA512}:")),
        ("x-amz-checksum-crc32", CRC32.into()),
        ("x-amz-checksum-crc32c", CRC32C.into()),
        ("x-amz-checksum-crc64nvme", CRC64_NVME.into()),
        ("x-amz-checksum-sha1", SHA1.into()),
        ("x-amz-checksum-sha256", SHA256.into()),
        ("x-goog-hash", format!("crc32c={CRC32C}")),
        ("x-goog-hash", format!("md5={MD5}")),
    ]
}

#[test]
fn what_the_origin_announced_in_any_header_is_compared() {
    for (name, value) in every_header() {
        assert_eq!(counting(200, &[(name, &value)]), [name], "{value}");
        assert_eq!(verified(&[(name, &value)]), Ok(()), "{name}: {value}");
        // Another digest in the same form: its last digit but one differs.
        let at = value.trim_end_matches([':', '=']).len() - 2;
        let other = if value.as_bytes()[at] == b'0' { "1" } else { "0" };
        let mut wrong = value.clone();
        wrong.replace_range(at..=at, other);
        assert_eq!(verified(&[(name, &wrong)]), Err(name), "{wrong}");
    }
}

#[test]
fn a_list_has_several_and_so_do_several_headers_of_a_name() {
    let wrong = format!("md5={OTHER_MD5}");
    for headers in [
        &[("x-goog-hash", &*format!("crc32c={CRC32C},{wrong}"))][..],
        &[("x-goog-hash", &format!("crc32c={CRC32C}")), ("x-goog-hash", &wrong)],
        &[("repr-digest", &format!("sha-256=:{SHA256}:, md5=:{OTHER_MD5}:;p=1"))],
        &[("digest", &format!("sha-256={SHA256} , MD5={OTHER_MD5}"))],
    ] {
        assert_eq!(verified(headers), Err(headers[0].0), "{headers:?}");
    }
    assert_eq!(verified(&[("x-goog-hash", &format!("crc32c={CRC32C}, md5={MD5}"))]), Ok(()));
}

#[test]
fn a_header_that_is_right_does_not_excuse_one_that_is_wrong() {
    assert_eq!(verified(&[("content-md5", MD5), ("digest", &format!("md5={OTHER_MD5}"))]), Err("digest"));
    assert_eq!(verified(&[("digest", &format!("md5={MD5}")), ("content-md5", OTHER_MD5)]), Err("content-md5"));
}

#[test]
fn what_cannot_be_read_and_algorithms_that_are_not_known_are_as_nothing() {
    for (name, value) in [
        ("content-md5", ""),
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg"),
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg===="),
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhC=g=="),
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhC_g=="),
        ("content-md5", "x5f9e794323b453885f5181f1b624d0b"),
        ("content-md5", "1B2M2Y8=sgTpgAmY7PhCfg=="),
        ("digest", "sha-224=2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
        ("digest", "sha=2jmj7l5rSw0yVb/vlWAYkK/YBwk=="),
        ("digest", "unixsum=30637, adler32=03da0195"),
        ("digest", "md5"),
        ("digest", "CRC32C=a72a4d"),
        ("repr-digest", "sha-256=:AAAA:"),
        ("repr-digest", "sha-256=?1"),
        ("x-amz-checksum-crc32", "AAAAAA==-7"),
        ("x-amz-checksum-sha1", "2jmj7l5rSw0yVb/vlWAYkK/YBwk=-2"),
        ("x-goog-hash", "crc32c=:"),
    ] {
        assert_eq!(counting(200, &[(name, value)]), [""; 0], "{name}: {value}");
    }
    let beside = format!("sha-384=2jmj7l5rSw0yVb/vlWAYkK/YBwk=, md5={OTHER_MD5}");
    assert_eq!(verified(&[("digest", &beside)]), Err("digest"), "the rest of a list counts");
}

#[test]
fn a_part_is_not_compared_with_what_is_said_of_parts() {
    for (name, value) in every_header() {
        let of_the_whole = matches!(name, "digest" | "repr-digest" | "x-goog-hash");
        let full = [("x-amz-checksum-type", "FULL_OBJECT"), (name, value.as_str())];
        assert_eq!(counting_in_a_part(&full).len(), usize::from(of_the_whole), "{name}");
    }
}

#[test]
fn s3s_checksums_of_checksums_are_not_compared() {
    let checksum = ("x-amz-checksum-crc32", CRC32);
    let of = |of| ("x-amz-checksum-type", of);
    assert_eq!(counting(200, &[checksum]).len(), 1);
    assert_eq!(counting(200, &[checksum, of("COMPOSITE")]).len(), 0);
    // A range of everything has the checksum of checksums without the "-7" behind it.
    assert_eq!(counting(206, &[checksum]).len(), 0);
    assert_eq!(counting(206, &[checksum, of("COMPOSITE")]).len(), 0);
    assert_eq!(counting(206, &[checksum, of("FULL_OBJECT")]).len(), 1);
}

#[test]
fn an_etag_is_an_md5_only_where_s3_says_so() {
    let etag = format!("\"{MD5_HEX}\"");
    let of_s3 = [("x-amz-request-id", "4442587FB7D0A2F9"), ("etag", etag.as_str())];
    assert_eq!(verified(&of_s3), Ok(()));
    assert_eq!(verified(&[of_s3[0], ("etag", "\"d41d8cd98f00b204e9800998ecf8427e\"")]), Err("etag"));
    assert_eq!(counting_in_a_part(&of_s3), ["etag"]);
    assert_eq!(counting(200, &[of_s3[0], of_s3[1], ("x-amz-server-side-encryption", "AES256")]), ["etag"]);
    for (name, value) in [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption", "aws:kms:dsse"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-storage-class", "EXPRESS_ONEZONE"),
    ] {
        assert_eq!(counting(200, &[of_s3[0], of_s3[1], (name, value)]), [""; 0], "{name}: {value}");
    }
    assert_eq!(counting(200, &of_s3[1..]), [""; 0], "another server's");
    for etag in [
        format!("W/\"{MD5_HEX}\""),
        format!("\"{MD5_HEX}-3\""),
        format!("\"{MD5}\""),
        format!("\"{MD5_HEX},{MD5_HEX}\""),
        "\"e\"".into(),
    ] {
        assert_eq!(counting(200, &[of_s3[0], ("etag", &etag)]), [""; 0], "{etag}");
    }
}

#[test]
fn what_google_decompressed_on_the_way_is_not_compared_with_what_it_stores() {
    let hash = ("x-goog-hash", "md5=1B2M2Y8AsgTpgAmY7PhCfg==");
    let stored = |encoding| ("x-goog-stored-content-encoding", encoding);
    assert_eq!(counting(200, &[hash, stored("gzip")]).len(), 0);
    assert_eq!(counting(200, &[hash, stored("gzip"), ("content-encoding", "gzip")]).len(), 1);
    assert_eq!(counting(200, &[hash, stored("identity")]).len(), 1);
}

#[test]
fn nothing_announced_is_nothing_to_compute() {
    assert!(ExpectedDigests::read(&response(200, &[("etag", "\"e\"")], BODY.len()), 9).hasher().is_none());
}

#[test]
fn each_algorithm_runs_once_however_often_it_is_announced() {
    let announced = [("content-md5", MD5), ("digest", &format!("md5={MD5}, sha-256={SHA256}"))];
    let hasher = ExpectedDigests::read(&response(200, &announced, BODY.len()), 9).hasher().unwrap();
    assert_eq!((hasher.announced.0.len(), hasher.running.len()), (3, 2));
}

#[test]
fn long_objects_have_the_digests_that_other_programs_compute() {
    // The bytes 0 to 250, a hundred times. The values are from Python's hashlib and zlib, and from a bit by bit
    // computation of the other two checks.
    let body = (0..=250).cycle().take(25_100).collect::<Vec<u8>>();
    for (algorithm, expected) in [
        (Algorithm::Md5, "d287488830952f51c775d02a42a12f81"),
        (Algorithm::Sha1, "9e164626c840e5ed257897a54ea0600e91a0d4e1"),
        (Algorithm::Sha256, "f8f6ec27456da57338e2c8c5c58d8c5633a9c5cc4139122dbef3b9e52e77cf9d"),
        (
            Algorithm::Sha512,
            "15a2897867a860754264e0f1b2242465ff2ef5e2d63e054e8300e9696f1cd3afba9985392e85b7ba8af2068e3ba44314265ed5c263ebc22d1770c416a2535fc8",
        ),
        (Algorithm::Crc32, "0c3f5c62"),
        (Algorithm::Crc32c, "5474204d"),
        (Algorithm::Crc64Nvme, "c4e7fc7c0f43c377"),
    ] {
        let mut running = Running::new(algorithm);
        running.update(&body);
        let digest = running.value();
        assert!(is_written(&digest, expected), "{algorithm:?} {}", digest.escape_ascii());
    }
}

proptest! {
    #[test]
    fn a_digest_does_not_depend_on_where_the_bytes_are_cut(
        body in proptest::collection::vec(any::<u8>(), 0..600),
        cuts in proptest::collection::vec(0..600_usize, 0..5),
    ) {
        use Algorithm::{Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256, Sha512};
        for algorithm in [Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256, Sha512] {
            let (mut at_once, mut in_pieces) = (Running::new(algorithm), Running::new(algorithm));
            at_once.update(&body);
            let mut ends: Vec<usize> = cuts.iter().map(|cut| *cut.min(&body.len())).chain([body.len()]).collect();
            ends.sort_unstable();
            let mut from = 0;
            for end in ends {
                in_pieces.update(&body[from..end]);
                from = end;
            }
            prop_assert_eq!(at_once.value(), in_pieces.value());
        }
    }
}

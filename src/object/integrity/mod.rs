//! The digests that an origin announces for an object, and their comparison with its bytes.
//!
//! Only a digest of the *whole* object counts, because the whole object will be stored. A digest of a part, in an
//! unknown algorithm or in an unreadable form is ignored. Without an announced digest, nothing is computed.

mod crc;
mod digest;

use crate::http::{Headers, Response};
use digest::{Algorithm, Running, is_written};

/// The digests that an origin announces for all bytes of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedDigests(Vec<ExpectedDigest>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct ExpectedDigest {
    /// The header that announces it.
    header: &'static str,
    algorithm: Algorithm,
    /// In base64 or in hexadecimal.
    digest: String,
}

/// The digests of an object that are computed while its bytes come by.
#[derive(Debug)]
pub struct Hasher {
    announced: ExpectedDigests,
    running: Vec<(Algorithm, Running)>,
}

/// Headers with a digest, the algorithm of each (none: `ALGORITHM=DIGEST, ...`), and the bytes that it is of.
const HEADERS: [(&str, Option<Algorithm>, About); 11] = [
    ("content-digest", None, About::Content),
    ("content-md5", Some(Algorithm::Md5), About::Content),
    ("digest", None, About::Representation),
    ("etag", Some(Algorithm::Md5), About::S3Object),
    ("repr-digest", None, About::Representation),
    ("x-amz-checksum-crc32", Some(Algorithm::Crc32), About::S3Checksum),
    ("x-amz-checksum-crc32c", Some(Algorithm::Crc32c), About::S3Checksum),
    ("x-amz-checksum-crc64nvme", Some(Algorithm::Crc64Nvme), About::S3Checksum),
    ("x-amz-checksum-sha1", Some(Algorithm::Sha1), About::S3Checksum),
    ("x-amz-checksum-sha256", Some(Algorithm::Sha256), About::S3Checksum),
    ("x-goog-hash", None, About::GoogleObject),
];

/// The bytes that a digest is of.
#[derive(Clone, Copy)]
enum About {
    /// The answer's content, be it a part or everything: RFC 1864, and RFC 9530, 2.
    Content,
    /// The bytes that Google stores.
    GoogleObject,
    /// All of the object, even where the answer has a part: RFC 3230, 4.1.1, and RFC 9530, 3.
    Representation,
    /// The object, or a part that equals the range, or the checksums of the parts.
    S3Checksum,
    /// The object, if S3 sent the answer.
    S3Object,
}

impl ExpectedDigests {
    /// Reads the headers of an answer that succeeded. `total` is the length of the object; the answer may have only a
    /// part of it.
    pub fn read(response: &Response, total: u64) -> Self {
        let headers = &response.headers;
        let whole = u64::try_from(response.body.len()) == Ok(total);
        let mut announced = Vec::new();
        for ((header, algorithm, about), value) in
            headers.known(|name| HEADERS.iter().find(|(known, ..)| *known == name))
        {
            let counts = match about {
                About::Content => whole,
                About::GoogleObject => is_as_google_stores_it(headers),
                About::Representation => true,
                About::S3Checksum => whole && is_full_object(response),
                About::S3Object => has_md5_as_etag(headers),
            };
            if !counts {
                continue;
            }
            for item in value.split(',') {
                let (algorithm, digest) = match algorithm {
                    Some(algorithm) => (Some(*algorithm), item),
                    None => {
                        item.split_once('=').map_or((None, item), |(name, digest)| (Algorithm::named(name), digest))
                    }
                };
                // Structured fields (RFC 9651) put parameters behind a digest, and colons around it.
                let digest = digest.split(';').next().unwrap_or_default().trim_matches([' ', '"', ':']);
                if let Some(algorithm) = algorithm.filter(|algorithm| algorithm.can_read(digest)) {
                    announced.push(ExpectedDigest { header, algorithm, digest: digest.to_owned() });
                }
            }
        }
        Self(announced)
    }

    /// Tells if nothing was announced that can be compared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the hasher, if there is anything to compute.
    pub fn hasher(self) -> Option<Hasher> {
        let mut running: Vec<(Algorithm, Running)> = Vec::new();
        for ExpectedDigest { algorithm, .. } in &self.0 {
            if running.iter().all(|(known, _)| known != algorithm) {
                running.push((*algorithm, Running::new(*algorithm)));
            }
        }
        (!running.is_empty()).then_some(Hasher { announced: self, running })
    }

    /// Compares the digests with a whole object. The error is the name of a header that differs.
    pub fn verify(self, body: &[u8]) -> Result<(), &'static str> {
        let Some(mut hasher) = self.hasher() else { return Ok(()) };
        hasher.update(body);
        hasher.verify()
    }
}

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for (_, running) in &mut self.running {
            running.update(bytes);
        }
    }

    /// Compares the computed digests with the announced ones. The error is the name of a header that differs.
    pub fn verify(self) -> Result<(), &'static str> {
        for (algorithm, running) in self.running {
            let digest = running.value();
            for expected in &self.announced.0 {
                if expected.algorithm == algorithm && !is_written(&digest, &expected.digest) {
                    return Err(expected.header);
                }
            }
        }
        Ok(())
    }
}

/// Tells if S3's checksums are of the object's bytes, and not of its parts' checksums. A range that equals a part has
/// the part's checksums, and they look like those of an object: <https://github.com/boto/botocore/issues/3346>.
fn is_full_object(response: &Response) -> bool {
    match response.headers.text("x-amz-checksum-type") {
        Some(of) => of == "FULL_OBJECT",
        None => response.status == 200,
    }
}

/// Tells if `x-goog-hash` is about these bytes. Google decompresses an object that it stores with gzip for a reader
/// that does not ask for gzip: <https://cloud.google.com/storage/docs/transcoding>.
fn is_as_google_stores_it(headers: &Headers) -> bool {
    let encoding = |name| headers.text(name).unwrap_or("identity");
    !headers.contains("x-goog-stored-content-encoding")
        || encoding("x-goog-stored-content-encoding") == encoding("content-encoding")
}

/// Tells if an ETag with 32 hexadecimal digits is the MD5 of the object's bytes. S3 documents that for objects in
/// plaintext or with SSE-S3 (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html>), but not for
/// directory buckets. Any other server's ETag may be anything.
fn has_md5_as_etag(headers: &Headers) -> bool {
    const QUOTED_MD5: usize = 34;
    let encryption = headers.text("x-amz-server-side-encryption");
    headers.text("etag").is_some_and(|etag| etag.len() == QUOTED_MD5)
        && headers.contains("x-amz-request-id")
        && encryption.is_none_or(|encryption| encryption == "AES256")
        && !headers.contains("x-amz-server-side-encryption-customer-algorithm")
        && headers.text("x-amz-storage-class") != Some("EXPRESS_ONEZONE")
}

#[cfg(test)]
mod tests;

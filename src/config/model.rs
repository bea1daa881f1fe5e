//! The operator's decisions, as types that cannot be wrong, and the defaults.

use super::rule::Rule;
use crate::http::Upstream;
use std::rc::Rc;
use std::time::Duration;

/// The operator's decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The bucket that objects are stored in.
    pub bucket: Rc<Bucket>,
    /// Rules in order; the first one that matches a request serves it. Never empty.
    pub rules: Vec<Rule>,
    /// The form of `Location`. Without it `Location` is the path and query of the request.
    pub location: Option<Location>,
    /// The longest time that a client waits for a fill.
    pub wait: Duration,
    /// The time for which a failure of all origins is remembered.
    pub failure_ttl: Duration,
    /// The time for which an origin's 404 is remembered.
    pub negative_ttl: Duration,
    /// The time for which a key that was stored is not filled again.
    pub loop_window: Duration,
    /// Bounds on what one worker holds.
    pub limits: Limits,
    /// The marker of requests that may be passed to an origin. Without it no request is: the edge has no route for them.
    pub marker: Option<String>,
}

/// The bucket, as the signer reaches it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The signer's cluster, and the store's `host[:port]`, which is signed.
    pub upstream: Rc<Upstream>,
    /// The path in front of a key at the store: `/BUCKET`, or nothing for a virtual-hosted bucket.
    pub path_prefix: String,
    /// The form of clients' paths.
    pub exposed: Exposed,
    /// The storage class of objects; without it, the bucket's own default.
    pub storage_class: Option<String>,
    /// More headers of each request that makes an object: PutObject and CreateMultipartUpload.
    pub put_headers: Vec<(&'static str, String)>,
    pub overwrite: Overwrite,
    /// The keys that it keeps apart.
    pub keys: Keys,
    /// The segment that stands behind a path that ends in a slash, in the key of that page.
    pub index: Option<String>,
    /// The treatment of objects that the bucket says were deleted.
    pub deleted: Deleted,
}

impl Bucket {
    /// Counts the bytes that stand before each key as it is stored: those of the path prefix behind the bucket's name.
    pub fn prefix_bytes(&self) -> usize {
        let (_, behind) = self.path_prefix.trim_start_matches('/').split_once('/').unwrap_or_default();
        let escapes = behind.bytes().filter(|byte| *byte == b'%').count();
        let slash = usize::from(!behind.is_empty());
        behind.len().saturating_sub(escapes.saturating_mul(2)).saturating_add(slash)
    }
}

/// The keys that a store keeps apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// All keys: each byte counts, as on AWS.
    Exact,
    /// The plain keys. The store may read another key as one of these.
    #[default]
    Plain,
}

/// The treatment of an object that the bucket says was deleted, with `x-amz-delete-marker: true`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deleted {
    /// It was deleted on purpose: the bucket's answer stands.
    #[default]
    Pass,
    /// It is missing: it is filled again.
    Refill,
}

/// The means that keeps a fill from overwriting an object that another writer stored meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// `If-None-Match: *`.
    #[default]
    Conditional,
    /// This header with the value `true`, for stores that have it in place of `If-None-Match`.
    Forbidden(&'static str),
    /// A HEAD just before, for stores that know neither. An object that is stored between the two is overwritten.
    HeadFirst,
}

/// The form of a client's path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposed {
    /// `/BUCKET/KEY`: the store's path style, which S3 SDKs use.
    Path,
    /// `/KEY`: sites, CDNs and virtual-hosted S3.
    #[default]
    Root,
}

/// The form of `Location` other than the path and query of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// The request's own scheme and the store's authority, where the request names that, too. Envoy follows internal redirects
    /// only to these.
    Absolute,
    /// A URL that begins with this one: the recipe's `service_endpoint`.
    Base(String),
    /// The path of the request with a query, where the request has none. Some clients take a redirect to the URL that they
    /// asked for as an endless one.
    Distinct,
}

/// Bounds on what one worker holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the smallest first request to an origin. One that has room asks for more.
    pub first_range: u64,
    /// Bytes asked of the origin at once. A larger object is not stored with a single PUT.
    pub part_size: u64,
    /// Fills that run at once.
    pub fills: usize,
    /// Fills that wait for a running one to end.
    pub queue: usize,
    /// Streams that wait for fills.
    pub waiters: usize,
    /// Bytes of objects that all fills together hold. Envoy holds up to as many again, on their way in and out.
    pub memory: u64,
    /// Parts of one object that are fetched and stored at once, at most.
    pub parts_in_flight: usize,
    /// Bytes a second below which a request that stores bytes ends. Above 0.
    pub min_rate: u64,
    /// Bytes of the largest object that is mirrored.
    pub max_object_size: u64,
    /// Clients that are passed to origins at once.
    pub streams: usize,
    /// Those of them that read the same object.
    pub streams_per_key: usize,
}

pub const MIB: u64 = 1024 * 1024;
pub const GIB: u64 = 1024 * MIB;
pub const TIB: u64 = 1024 * GIB;

/// S3's smallest part, except for the last one: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.
pub const MIN_PART_SIZE: u64 = 5 * MIB;
/// Envoy refuses a larger answer to a call: `http.async_response_buffer_limit` in `async_client_impl.cc`.
pub const MAX_PART_SIZE: u64 = 32 * MIB;
/// 10,000 parts of 5 GiB, S3's largest object.
pub const MAX_OBJECT_SIZE: u64 = 50_000 * GIB;

/// Measured with three parts in flight: a 1 GiB fill took no longer than with 8 MiB, and 62 to 65 MiB resident, not
/// 77 to 95.
const DEFAULT_PART_SIZE: u64 = 6 * MIB;
const DEFAULT_MEMORY: u64 = 128 * MIB;
const DEFAULT_PARTS_IN_FLIGHT: usize = 3;
/// Ten parts at once over 5 Mbit/s have twice as much.
const DEFAULT_MIN_RATE: u64 = 32 * 1024;
/// Half of it, the share of one origin among several, keeps 256 clients of an origin far away going.
const DEFAULT_FILLS: usize = 512;
/// [`DEFAULT_FILLS`] of them take a quarter of [`DEFAULT_MEMORY`]. One byte more than objects of 64 KiB have: a 206 of exactly the
/// length that was asked for proves no end.
const FIRST_RANGE: u64 = 64 * 1024 + 1;
const DEFAULT_QUEUE: usize = 256;
/// About 1 kB each, in the module.
const DEFAULT_WAITERS: usize = 10_000;

/// Each one is a read of an origin, and may be a slow one.
const DEFAULT_STREAMS: usize = 64;

/// Above the 10 connections with which S3 SDKs and the 16 with which aria2c read one object.
const DEFAULT_STREAMS_PER_KEY: usize = 16;
/// Below the patience of browsers and of S3 SDKs (60 s), above the time that a part takes at 4 Mbit/s.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(25);
/// Below [`DEFAULT_WAIT`], so that a silent origin is a 504 and not a fill that goes on.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// Above the pauses of an SDK's quick retries, which ask three times within half a second.
pub const DEFAULT_FAILURE_TTL: Duration = Duration::from_secs(1);
pub const DEFAULT_NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// Above the second that a browser's redirects take, below an operator's patience with a bucket that was emptied.
pub const DEFAULT_LOOP_WINDOW: Duration = Duration::from_secs(5);

const _: () = assert!(MAX_OBJECT_SIZE < 49 * TIB);

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_range: FIRST_RANGE,
            part_size: DEFAULT_PART_SIZE,
            fills: DEFAULT_FILLS,
            queue: DEFAULT_QUEUE,
            waiters: DEFAULT_WAITERS,
            memory: DEFAULT_MEMORY,
            parts_in_flight: DEFAULT_PARTS_IN_FLIGHT,
            min_rate: DEFAULT_MIN_RATE,
            max_object_size: MAX_OBJECT_SIZE,
            streams: DEFAULT_STREAMS,
            streams_per_key: DEFAULT_STREAMS_PER_KEY,
        }
    }
}

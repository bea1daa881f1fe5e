//! From the origin's first answer to the way in which the object is stored. Every limit on sizes lives here.

use crate::config::{Limits, MAX_PART_SIZE};
use crate::http::ContentRange;
use crate::object::Object;

/// S3's most parts: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.
const MAX_PARTS: u64 = 10_000;

/// Part sizes are whole multiples of this, so that they are easy to recognise in a store.
const PART_SIZE_STEP: u64 = 1024 * 1024;

/// The way in which an object is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Part by part; this is its beginning.
    Multipart(Parts, Object),
    /// With one PUT: all of it is at hand.
    Single(Object),
    /// Not at all.
    TooLarge,
}

/// The division of an object: all parts but the last are equally long, as R2 wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Bytes of the object; above 0.
    total: u64,
    /// Bytes of each part but the last; above 0.
    size: u64,
}

impl Parts {
    /// Bytes of each part but the last.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of the object.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Counts the parts: 1 to 10,000.
    pub fn count(&self) -> u64 {
        self.total.div_ceil(self.size.max(1))
    }

    /// Finds the first part that begins at this byte or behind it, and is free.
    pub fn next_free(&self, byte: u64, is_free: &dyn Fn(u64) -> bool) -> Option<u64> {
        let first = byte.div_ceil(self.size.max(1)).saturating_add(1);
        (first..=self.count()).find(|number| is_free(*number))
    }

    /// The bytes of a part. Numbers begin at 1, as S3's do.
    pub fn range(&self, number: u64) -> ContentRange {
        let first = number.saturating_sub(1).saturating_mul(self.size);
        let end = first.saturating_add(self.size).min(self.total);
        ContentRange { first, last: end.saturating_sub(1), total: self.total }
    }
}

/// Plans the storing of an object of so many bytes whose beginning is at hand.
///
/// An origin that knows ranges sends one part at most; one that does not sends the whole object, which Envoy takes
/// up to 32 MiB. An object that is whole is stored with one PUT. Parts grow with the object, up to what Envoy takes as
/// the answer to a call and to half of what the worker may hold: proxy-wasm cannot stream a part into a store.
pub fn plan(object: Object, total: u64, limits: &Limits) -> Plan {
    let at_hand = object.length();
    if total > limits.max_object_size {
        return Plan::TooLarge;
    }
    if total <= at_hand {
        return Plan::Single(object);
    }
    let needed = total.div_ceil(MAX_PARTS);
    let size = if needed <= limits.part_size { limits.part_size } else { needed.next_multiple_of(PART_SIZE_STEP) };
    if size > MAX_PART_SIZE.min(limits.memory / 2).max(limits.part_size) {
        return Plan::TooLarge;
    }
    Plan::Multipart(Parts { total, size }, object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::metadata::Metadata;
    use std::rc::Rc;

    const MIB: u64 = 1024 * 1024;
    const GIB: u64 = 1024 * MIB;

    fn planned(at_hand: usize, total: u64, limits: &Limits) -> Plan {
        let object = Object { metadata: Metadata::default(), body: Rc::new(vec![0; at_hand]), etag: None };
        plan(object, total, limits)
    }

    #[test]
    fn an_object_that_is_whole_is_stored_with_one_put_within_the_limit() {
        let limits = Limits { max_object_size: 5, ..Limits::default() };
        for (length, stored) in [(0, true), (5, true), (6, false)] {
            let single = matches!(planned(length, length as u64, &limits), Plan::Single(_));
            assert_eq!(single, stored, "{length}");
        }
    }

    #[test]
    fn parts_grow_so_that_ten_thousand_suffice_and_end_where_envoys_limit_is() {
        for (total, expected) in [
            (6 * MIB + 1, Some((6, 2))),
            (58 * GIB, Some((6, 9899))),
            (60_000 * MIB, Some((6, 10_000))),
            (60_000 * MIB + 1, Some((7, 8572))),
            (320_000 * MIB, Some((32, 10_000))),
            (320_000 * MIB + 1, None),
        ] {
            let parts = match planned(1, total, &Limits::default()) {
                Plan::Multipart(parts, _) => Some((parts.size() / MIB, parts.count())),
                Plan::TooLarge => None,
                Plan::Single(_) => panic!("{total} is not whole"),
            };
            assert_eq!(parts, expected, "{total}");
        }
        for (memory, stored) in [(6, false), (13, false), (14, true)] {
            let limits = Limits { memory: memory * MIB, ..Limits::default() };
            let is_stored = planned(1, 60_000 * MIB + 1, &limits) != Plan::TooLarge;
            assert_eq!(is_stored, stored, "a part of 7 MiB in {memory} MiB");
        }
    }

    #[test]
    fn the_parts_are_the_object_without_gap_or_overlap() {
        for total in [11, 12, 13] {
            let parts = Parts { total, size: 4 };
            assert_eq!((parts.total(), parts.size()), (total, 4));
            let mut next = 0;
            for number in 1..=parts.count() {
                let range = parts.range(number);
                assert_eq!((range.first, range.total), (next, total));
                assert!(range.length() == 4 || number == parts.count());
                next = range.last + 1;
            }
            assert_eq!(next, total);
        }
    }
}

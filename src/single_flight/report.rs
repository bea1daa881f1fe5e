//! The end of a fill in 8 bytes, as workers tell it to each other and remember it.

use crate::fill::Outcome;

/// The place of an origin among those that are tried for a key. Workers whose hashes of the key are the same have the
/// same configuration, and so the same places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The index of the rule, of those that are for the key.
    pub mirror: u8,
    /// The index of the origin in that rule.
    pub origin: u8,
}

/// Writes `outcome status mirror origin`, in 4, 2, 1 and 1 bytes. `None` stands for an outcome that another worker cannot
/// act on, and so do some of those that are given. An object is not told; the reader only learns that it is there.
pub fn encode(outcome: Option<&Outcome>, place: Place) -> u64 {
    let (value, status) = outcome.map(encode_outcome).unwrap_or_default();
    let ([a, b, c, d], [e, f]) = (value.to_le_bytes(), status.to_le_bytes());
    u64::from_le_bytes([a, b, c, d, e, f, place.mirror, place.origin])
}

/// Reads what [`encode`] writes.
pub fn decode(report: u64) -> (Option<Outcome>, Place) {
    let [a, b, c, d, e, f, mirror, origin] = report.to_le_bytes();
    let (value, status) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]));
    (decode_outcome(value, status), Place { mirror, origin })
}

/// Writes an outcome in numbers. It is 0 where another worker cannot act on it.
fn encode_outcome(outcome: &Outcome) -> (u32, u16) {
    match outcome {
        Outcome::Stored => (1, 0),
        Outcome::Exists => (2, 0),
        Outcome::NotFound => (3, 0),
        Outcome::Forbidden => (4, 0),
        Outcome::BucketUnavailable => (5, 0),
        Outcome::OriginRefused { status } => (6, *status),
        Outcome::OriginTimeout => (7, 0),
        Outcome::OriginUnavailable(_) => (8, 0),
        Outcome::TooLarge => (9, 0),
        Outcome::NotStored { object: None, status } => (10, *status),
        Outcome::WrongType => (11, 0),
        Outcome::Corrupt(_) => (12, 0),
        Outcome::OriginBusy { seconds } => (13, u16::from(*seconds)),
        Outcome::NotStored { object: Some(_), .. }
        | Outcome::Broken(_)
        | Outcome::Busy(_)
        | Outcome::Filling
        | Outcome::Head { .. }
        | Outcome::Loop
        | Outcome::Origin
        | Outcome::OriginRedirect { .. }
        | Outcome::Passed(_)
        | Outcome::Private(_)
        | Outcome::Served(_) => (0, 0),
    }
}

fn decode_outcome(value: u32, status: u16) -> Option<Outcome> {
    Some(match value {
        1 => Outcome::Stored,
        2 => Outcome::Exists,
        3 => Outcome::NotFound,
        4 => Outcome::Forbidden,
        5 => Outcome::BucketUnavailable,
        6 => Outcome::OriginRefused { status },
        7 => Outcome::OriginTimeout,
        8 => Outcome::OriginUnavailable("told by another worker"),
        9 => Outcome::TooLarge,
        10 => Outcome::NotStored { object: None, status },
        11 => Outcome::WrongType,
        12 => Outcome::Corrupt("what it announced to another worker"),
        13 => Outcome::OriginBusy { seconds: u8::try_from(status).ok()? },
        _ => return None,
    })
}

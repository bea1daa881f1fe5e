//! Messages between workers, through the shared queue that each of them has.

use super::leases::KeyHash;
use crate::fill::Outcome;

/// A message from one worker to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request to tell how the fill of this key ends.
    Subscribe {
        hash: KeyHash,
        /// The queue for the answer.
        reply_to: u32,
    },
    /// A request to tell nothing any more.
    Unsubscribe {
        hash: KeyHash,
        /// The queue that the answer would have gone to.
        reply_to: u32,
    },
    /// The word that clients may be passed to the object that the sender fills.
    Offered { hash: KeyHash },
    /// The end of the fill.
    Ended {
        hash: KeyHash,
        /// `None` if the sender does not fill the key, or cannot tell the outcome.
        outcome: Option<Outcome>,
        /// The source that the outcome is about.
        place: Place,
    },
}

/// The place of an origin among those that are tried for a key. Workers whose hashes of the key are the same have the
/// same configuration, and so the same places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The index of the rule, of those that are for the key.
    pub mirror: u8,
    /// The index of the origin in that rule.
    pub origin: u8,
}

impl Message {
    /// Writes `kind hash value status mirror origin`, in 1, 16, 4, 2, 1 and 1 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, hash, value, status, place) = match self {
            Self::Subscribe { hash, reply_to } => (1_u8, hash, *reply_to, 0, Place::default()),
            Self::Unsubscribe { hash, reply_to } => (3, hash, *reply_to, 0, Place::default()),
            Self::Offered { hash } => (4, hash, 0, 0, Place::default()),
            Self::Ended { hash, outcome, place } => {
                let (value, status) = outcome.as_ref().map(encode_outcome).unwrap_or_default();
                (2, hash, value, status, *place)
            }
        };
        let place = [place.mirror, place.origin];
        [&[kind][..], &hash.0, &value.to_le_bytes(), &status.to_le_bytes(), &place].concat()
    }

    /// Reads a message. `None` for any other bytes.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let (kind, rest) = message.split_first()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_first_chunk()?;
        let (status, place) = rest.split_first_chunk()?;
        let &[mirror, origin] = place else { return None };
        let (hash, value, status) = (KeyHash(*hash), u32::from_le_bytes(*value), u16::from_le_bytes(*status));
        match kind {
            1 => Some(Self::Subscribe { hash, reply_to: value }),
            2 => {
                let (outcome, place) = (decode_outcome(value, status), Place { mirror, origin });
                Some(Self::Ended { hash, outcome, place })
            }
            3 => Some(Self::Unsubscribe { hash, reply_to: value }),
            4 => Some(Self::Offered { hash }),
            _ => None,
        }
    }
}

/// Writes an outcome in numbers. It is 0 where another worker cannot act on it. An object is not sent; the receiver
/// only learns that it is there.
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
        | Outcome::Passed(_)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_message_are_taken_for_none() {
        for length in [0, 1, 23, 24, 25, 26] {
            for byte in [0, 5, 9, 255] {
                assert_eq!(Message::decode(&vec![byte; length]), None);
            }
        }
    }

    #[test]
    fn a_message_says_all_that_another_worker_can_act_on() {
        let hash = KeyHash([7; 16]);
        for outcome in [
            Outcome::Stored,
            Outcome::Exists,
            Outcome::NotFound,
            Outcome::Forbidden,
            Outcome::BucketUnavailable,
            Outcome::OriginRefused { status: 403 },
            Outcome::OriginTimeout,
            Outcome::Corrupt("what it announced to another worker"),
            Outcome::OriginBusy { seconds: 30 },
            Outcome::OriginUnavailable("told by another worker"),
            Outcome::TooLarge,
            Outcome::NotStored { object: None, status: 503 },
            Outcome::WrongType,
        ] {
            let message = Message::Ended { hash, outcome: Some(outcome), place: Place { mirror: 1, origin: 2 } };
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        for message in [
            Message::Subscribe { hash, reply_to: 7 },
            Message::Unsubscribe { hash, reply_to: 7 },
            Message::Offered { hash },
            Message::Ended { hash, outcome: None, place: Place::default() },
        ] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        let broken = Message::Ended { hash, outcome: Some(Outcome::Broken("x")), place: Place::default() };
        let told = Message::Ended { hash, outcome: None, place: Place::default() };
        assert_eq!(Message::decode(&broken.encode()), Some(told));
    }
}

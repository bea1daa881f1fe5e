//! Messages between workers, through the shared queue that each of them has.

use super::leases::KeyHash;
use super::report::{self, Place};
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

impl Message {
    /// Writes `kind hash value`, in 1, 16 and 8 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, hash, value) = match self {
            Self::Subscribe { hash, reply_to } => (1_u8, hash, u64::from(*reply_to)),
            Self::Unsubscribe { hash, reply_to } => (3, hash, u64::from(*reply_to)),
            Self::Offered { hash } => (4, hash, 0),
            Self::Ended { hash, outcome, place } => (2, hash, report::encode(outcome.as_ref(), *place)),
        };
        [&[kind][..], &hash.0, &value.to_le_bytes()].concat()
    }

    /// Reads a message. `None` for any other bytes.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let (kind, rest) = message.split_first()?;
        let (hash, value) = rest.split_first_chunk()?;
        let (hash, value) = (KeyHash(*hash), u64::from_le_bytes(value.try_into().ok()?));
        match kind {
            1 => Some(Self::Subscribe { hash, reply_to: u32::try_from(value).ok()? }),
            2 => {
                let (outcome, place) = report::decode(value);
                Some(Self::Ended { hash, outcome, place })
            }
            3 => Some(Self::Unsubscribe { hash, reply_to: u32::try_from(value).ok()? }),
            4 => Some(Self::Offered { hash }),
            _ => None,
        }
    }
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

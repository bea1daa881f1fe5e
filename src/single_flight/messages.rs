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
    /// The end of the fill.
    Ended {
        hash: KeyHash,
        /// `None` if the sender does not fill the key, or cannot tell the outcome.
        outcome: Option<Outcome>,
    },
}

impl Message {
    /// Writes `kind hash value status`, in 1, 16, 4 and 2 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, hash, value, status) = match self {
            Self::Subscribe { hash, reply_to } => (1_u8, hash, *reply_to, 0),
            Self::Ended { hash, outcome } => {
                let (value, status) = outcome.as_ref().map(encode_outcome).unwrap_or_default();
                (2, hash, value, status)
            }
        };
        [&[kind][..], &hash.0, &value.to_le_bytes(), &status.to_le_bytes()].concat()
    }

    /// Reads a message. `None` for any other bytes.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let (kind, rest) = message.split_first()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (value, status) = rest.split_first_chunk()?;
        let (hash, value) = (KeyHash(*hash), u32::from_le_bytes(*value));
        let status = u16::from_le_bytes(status.try_into().ok()?);
        match kind {
            1 => Some(Self::Subscribe { hash, reply_to: value }),
            2 => Some(Self::Ended { hash, outcome: decode_outcome(value, status) }),
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
        for length in [0, 1, 22, 23, 24] {
            for byte in [0, 4, 9, 255] {
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
            Outcome::TooLarge,
            Outcome::NotStored { object: None, status: 503 },
        ] {
            let message = Message::Ended { hash, outcome: Some(outcome) };
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        for message in [Message::Subscribe { hash, reply_to: 7 }, Message::Ended { hash, outcome: None }] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        let broken = Message::Ended { hash, outcome: Some(Outcome::Broken("x")) };
        assert_eq!(Message::decode(&broken.encode()), Some(Message::Ended { hash, outcome: None }));
    }
}

//! From the origin's first answer to the way in which the object is stored. Every limit on sizes lives here.

use crate::config::Limits;
use crate::origin::{First, Object};

/// How an object is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// With one PUT: all of it is at hand.
    Single(Object),
    /// Not at all.
    TooLarge,
}

/// Plans the storing of an object whose beginning is at hand.
///
/// An origin that knows ranges sends one part at most; one that does not sends the whole object, which Envoy takes
/// up to 32 MiB. Either way an object that is whole is stored with one PUT, and no other can be stored yet.
pub fn plan(first: First, limits: &Limits) -> Plan {
    let at_hand = u64::try_from(first.object.body.len()).unwrap_or(u64::MAX);
    if first.total > limits.max_object_size || first.total > at_hand {
        return Plan::TooLarge;
    }
    Plan::Single(first.object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Metadata;
    use std::rc::Rc;

    #[test]
    fn an_object_is_stored_if_it_is_whole_and_within_the_limit() {
        let limits = Limits { max_object_size: 5, ..Limits::default() };
        for (at_hand, total, stored) in [(0, 0, true), (5, 5, true), (6, 6, false), (4, 5, false)] {
            let object = Object { metadata: Metadata::default(), body: Rc::new(vec![0; at_hand]) };
            let planned = plan(First { object, total }, &limits);
            assert_eq!(matches!(planned, Plan::Single(_)), stored, "{at_hand} of {total}");
        }
    }
}

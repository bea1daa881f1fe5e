//! The parts of a client's request that the origins get.

use crate::config::rule::Mirror;
use std::rc::Rc;

/// The parts of a client's request that the origins get, because a rule lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Forwarded {
    /// Parameters of the query, `name=value`; visible ASCII.
    pub query: Vec<String>,
    /// Headers, lower-case names.
    pub headers: Vec<(String, String)>,
}

impl Forwarded {
    /// Picks the parts of a query and headers that one of these rules lists.
    pub fn of(query: Option<&str>, headers: &[(String, String)], mirrors: &[Rc<Mirror>]) -> Self {
        let pairs = query.into_iter().flat_map(|query| query.split('&'));
        let listed = |pair: &&str| mirrors.iter().any(|mirror| mirror.passes(pair));
        let sent = |(name, _): &&(String, String)| mirrors.iter().any(|mirror| mirror.request_headers.contains(name));
        Self {
            query: pairs.filter(listed).map(str::to_owned).collect(),
            headers: headers.iter().filter(sent).cloned().collect(),
        }
    }
}

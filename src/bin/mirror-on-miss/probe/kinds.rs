//! Kinds of stores, by the table of `start.sh`.

use super::super::container::SCRIPT;

/// A kind, and the variables that it means.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    /// `IF_NONE_MATCH`.
    pub condition: &'static str,
    /// `ADDRESSING_STYLE`.
    pub style: &'static str,
}

/// Lists the kinds.
pub fn all() -> impl Iterator<Item = Kind> {
    let table = SCRIPT.split_once("\nkinds='\n").and_then(|(_, rest)| rest.split_once("\n'"));
    let rows = table.map(|(rows, _)| rows).unwrap_or_default().lines();
    rows.filter_map(|row| {
        let mut words = row.split_ascii_whitespace();
        Some(Kind { name: words.next()?, condition: words.next()?, style: words.next()? })
    })
}

/// Finds the kind of that name. The error names the others.
pub fn named(name: &str) -> Result<Kind, String> {
    all().find(|kind| kind.name == name).ok_or_else(|| {
        let names: Vec<_> = all().map(|kind| kind.name).collect();
        format!("STORE_KIND={name} is not allowed; allowed is {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_start_sh_is_read_to_its_end() {
        assert_eq!(all().next().map(|kind| (kind.name, kind.condition, kind.style)), Some(("aws", "true", "path")));
        assert_eq!(all().last().map(|kind| kind.name), Some("versitygw"));
        assert_eq!(named("garage").map(|kind| kind.condition), Ok("false"));
        assert!(named("minoi").is_err_and(|message| message.contains("aws, ceph")));
    }
}

//! Kinds of values in a configuration: texts, choices, numbers, times and sizes.

use super::reader::Kind;
use crate::config::origin::Rate;
use crate::http::{digits, is_field_value};
use serde_json::{Value, json};
use std::time::Duration;

/// Any text but the empty one.
pub struct Text;

impl Kind for Text {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn allowed(&self) -> &str {
        "a non-empty string"
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "minLength": 1})
    }
}

/// Text that can be sent as a header's value.
pub struct FieldValue;

impl Kind for FieldValue {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        value.as_str().filter(|text| is_field_value(text)).map(str::to_owned)
    }

    fn allowed(&self) -> &str {
        "a non-empty string of visible ASCII characters"
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "^[\\t -~]+$"})
    }
}

/// `true` or `false`.
pub struct Boolean;

impl Kind for Boolean {
    type Read = bool;

    fn read(&self, value: &Value) -> Option<bool> {
        value.as_bool()
    }

    fn allowed(&self) -> &str {
        "true or false"
    }

    fn schema(&self) -> Value {
        json!({"type": "boolean"})
    }
}

/// One of several names.
pub struct Choice<T: 'static> {
    /// The names, and the values that they stand for.
    pub of: &'static [(&'static str, T)],
    /// The names in words.
    pub allowed: &'static str,
}

impl<T: Copy> Kind for Choice<T> {
    type Read = T;

    fn read(&self, value: &Value) -> Option<T> {
        let name = value.as_str()?;
        self.of.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning)
    }

    fn allowed(&self) -> &str {
        self.allowed
    }

    fn schema(&self) -> Value {
        json!({"enum": self.of.iter().map(|(name, _)| *name).collect::<Vec<_>>()})
    }
}

/// A whole number within bounds.
pub struct Count {
    pub min: u32,
    pub max: u32,
    /// The bounds in words.
    pub allowed: &'static str,
}

impl Kind for Count {
    type Read = usize;

    fn read(&self, value: &Value) -> Option<usize> {
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        number.filter(|n| (self.min..=self.max).contains(n)).and_then(|n| usize::try_from(n).ok())
    }

    fn allowed(&self) -> &str {
        self.allowed
    }

    fn schema(&self) -> Value {
        json!({"type": "integer", "minimum": self.min, "maximum": self.max})
    }
}

/// A duration with its unit: `250ms`, `10s`, `5m`, `1.5h`; within bounds.
pub struct Time {
    pub min: Duration,
    pub max: Duration,
    /// The bounds in words.
    pub allowed: &'static str,
}

impl Kind for Time {
    type Read = Duration;

    fn read(&self, value: &Value) -> Option<Duration> {
        const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
        let duration = Duration::from_millis(with_unit(value.as_str()?, &UNITS)?);
        (self.min..=self.max).contains(&duration).then_some(duration)
    }

    fn allowed(&self) -> &str {
        self.allowed
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,3})?(ms|s|m|h)$"})
    }
}

/// A number of requests in a time: `50/s`, `600/m`, `1000/h`; at most 1,000 a second.
pub struct Frequency;

impl Kind for Frequency {
    type Read = Rate;

    fn read(&self, value: &Value) -> Option<Rate> {
        let (requests, unit) = value.as_str()?.split_once('/')?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return None,
        };
        let requests = digits(requests).and_then(|requests| u32::try_from(requests).ok())?;
        let most = 1000_u32.saturating_mul(seconds);
        let per = Duration::from_secs(seconds.into());
        (1..=most).contains(&requests).then_some(Rate { requests, per })
    }

    fn allowed(&self) -> &str {
        "a number of requests in a second, a minute or an hour, as \"50/s\", \"600/m\" or \"1000/h\"; at most 1,000 a second"
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "^[0-9]+/[smh]$"})
    }
}

/// A number of bytes with its unit: `512B`, `64KiB`, `8MiB`, `5GiB`, `48.8TiB`; within bounds.
pub struct Size {
    pub min: u64,
    pub max: u64,
    /// The bounds in words.
    pub allowed: &'static str,
}

impl Kind for Size {
    type Read = u64;

    fn read(&self, value: &Value) -> Option<u64> {
        const UNITS: [(&str, u64); 5] =
            [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];
        with_unit(value.as_str()?, &UNITS).filter(|bytes| (self.min..=self.max).contains(bytes))
    }

    fn allowed(&self) -> &str {
        self.allowed
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,3})?([KMGT]iB|B)$"})
    }
}

/// Reads a number with one of `units` behind it; the first unit that matches counts. The number may have up to three
/// decimals, and the result is rounded down. The code uses integers, because reading floats would add 15 kB of tables
/// to the module.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || decimals.is_empty() || decimals.len() > 3 {
        return None;
    }
    let thousandths = digits(&format!("{decimals:0<3}"))?;
    let fraction = thousandths.checked_mul(unit)?.checked_div(1000)?;
    digits(whole)?.checked_mul(unit)?.checked_add(fraction)
}

/// `type/subtype` or `type/*`, without parameters; in lower case.
pub struct MediaRange;

impl Kind for MediaRange {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        let text = value.as_str()?.to_ascii_lowercase();
        let (kind, subtype) = text.split_once('/')?;
        let token = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b))
        };
        (token(kind) && (subtype == "*" || token(subtype))).then_some(text.clone())
    }

    fn allowed(&self) -> &str {
        "a media type without parameters, as \"image/png\" or \"image/*\""
    }

    fn schema(&self) -> Value {
        const TOKEN: &str = "[A-Za-z0-9!#$%&'+.^_`|~-]+";
        json!({"type": "string", "pattern": format!("^{TOKEN}/(\\*|{TOKEN})$")})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_stay_within_their_bounds() {
        let kind = Time { min: Duration::from_millis(1), max: Duration::from_secs(3600), allowed: "" };
        let read = |text: &str| kind.read(&json!(text));
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(read("10s"), Some(Duration::from_secs(10)));
        assert_eq!(read("1.5m"), Some(Duration::from_secs(90)));
        assert_eq!(read("1h"), Some(Duration::from_secs(3600)));
        for wrong in [
            "",
            "10",
            "s",
            "-1s",
            "+1s",
            "1e3s",
            "infs",
            "NaNs",
            "1 s",
            "2h",
            "0s",
            ".5s",
            "5.s",
            "1.2.3s",
            "1.0001s",
            "99999999999999999999s",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn sizes_are_binary_and_need_a_unit() {
        let kind = Size { min: 1, max: u64::MAX, allowed: "" };
        let read = |text: &str| kind.read(&json!(text));
        assert_eq!(read("512B"), Some(512));
        assert_eq!(read("64KiB"), Some(65_536));
        assert_eq!(read("8MiB"), Some(8_388_608));
        assert_eq!(read("48.8TiB"), Some(53_656_167_435_468));
        for wrong in ["8", "8MB", "8 MiB", "-8MiB", "MiB", "0B"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}

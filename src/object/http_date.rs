//! Dates of HTTP (RFC 9110, 5.6.7) in the one form that servers may send.

/// A moment in UTC, to the second. A later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpDate {
    year: u64,
    month: usize,
    /// Day, hour, minute and second.
    rest: [u64; 4],
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Characters of `Sun, 06 Nov 1994 08:49:37 GMT`.
const LENGTH: usize = 29;

impl HttpDate {
    /// Reads `Sun, 06 Nov 1994 08:49:37 GMT`. The obsolete forms of RFC 9110 are `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; LENGTH] = text.as_bytes().try_into().ok()?;
        let &[w1, w2, w3, b',', b' ', _, _, b' ', m1, m2, m3, b' ', _, _, _, _, b' ', ref time @ ..] = bytes else {
            return None;
        };
        let [_, _, b':', _, _, b':', _, _, b' ', b'G', b'M', b'T'] = time else { return None };
        if ![w1, w2, w3].iter().all(u8::is_ascii_alphabetic) {
            return None;
        }
        let month = MONTHS.iter().position(|name| **name == [m1, m2, m3])?;
        let number = |from: usize, to: usize| crate::http::digits(text.get(from..to)?);
        let rest = [number(5, 7)?, number(17, 19)?, number(20, 22)?, number(23, 25)?];
        Some(Self { year: number(12, 16)?, month, rest })
    }

    /// Counts the seconds up to this moment from one before any server's.
    pub fn seconds(self) -> u64 {
        let [day, hour, minute, second] = self.rest;
        // Years begin in March here, so that a leap day is the last of its year.
        let month = u64::try_from(self.month).unwrap_or_default();
        let year = if month < 2 { self.year.saturating_sub(1) } else { self.year };
        let months = month.saturating_add(10) % 12;
        let leaps = (year / 4).saturating_sub(year / 100).saturating_add(year / 400);
        let days = year.saturating_mul(365).saturating_add(leaps);
        let days = days.saturating_add(months.saturating_mul(153).saturating_add(2) / 5).saturating_add(day);
        let hours = days.saturating_mul(24).saturating_add(hour);
        hours.saturating_mul(60).saturating_add(minute).saturating_mul(60).saturating_add(second)
    }
}

/// Returns the first of several dates that Envoy joined with commas. A date has a comma, too. Another text stays as it is, up to a
/// comma behind a number: servers write `0` and `-1` for a time that is over.
pub fn first(text: &str) -> &str {
    let number = text.split(',').next().filter(|first| first.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
    let joined = || text.get(..LENGTH).filter(|date| date.len() < text.len() && HttpDate::parse(date).is_some());
    number.or_else(joined).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_date_is_greater_in_each_of_its_fields() {
        let dates = [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:38 GMT",
            "Sun, 06 Nov 1994 08:50:00 GMT",
            "Sun, 06 Nov 1994 09:00:00 GMT",
            "Mon, 07 Nov 1994 00:00:00 GMT",
            "Thu, 01 Dec 1994 00:00:00 GMT",
            "Sun, 01 Jan 1995 00:00:00 GMT",
        ];
        let dates: Vec<HttpDate> = dates.iter().map(|date| HttpDate::parse(date).unwrap()).collect();
        assert!(dates.is_sorted_by(|earlier, later| earlier < later), "{dates:?}");
    }

    #[test]
    fn seconds_go_on_over_the_ends_of_days_months_and_years() {
        for (earlier, later, apart) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", 0),
            ("Sat, 31 Dec 1994 23:59:59 GMT", "Sun, 01 Jan 1995 00:00:00 GMT", 1),
            ("Wed, 28 Feb 2024 00:00:00 GMT", "Fri, 01 Mar 2024 00:00:00 GMT", 2 * 86_400),
            ("Tue, 28 Feb 2023 00:00:00 GMT", "Wed, 01 Mar 2023 00:00:00 GMT", 86_400),
            ("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 26 Nov 2026 18:50:00 GMT", 1_795_719_000),
        ] {
            let [earlier, later] = [earlier, later].map(|date| HttpDate::parse(date).unwrap().seconds());
            assert_eq!(later - earlier, apart);
        }
    }

    #[test]
    fn other_texts_are_no_dates() {
        for text in [
            "",
            "yesterday",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Non 1994 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08-49-37 GMT",
            "\u{e4}n, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(HttpDate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn of_joined_dates_the_first_one_counts() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(first(&format!("{date},{date}")), date);
        for (text, expected) in
            [(date, date), ("0,-1", "0"), ("-1", "-1"), ("Sunday, 06-Nov-94", "Sunday, 06-Nov-94"), ("never", "never")]
        {
            assert_eq!(first(text), expected);
        }
    }
}

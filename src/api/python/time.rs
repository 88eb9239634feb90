//! Times as Python's `iso8601` reads them.

use crate::domain::Timestamp;

/// Reads a time such as `2026`, `2026-01-31`, `20260131`, or `2026-01-31T10:00:00.5+02:00`. Missing parts are the first of
/// their kind, and a time without a zone is UTC.
#[must_use]
pub fn iso_time(string: &str) -> Option<Timestamp> {
    let (date, rest) = match string.find(['T', ' ']) {
        Some(at) => (&string[..at], &string[at + 1..]),
        None => (string, ""),
    };
    let date_only = !string.contains(['T', ' ']);
    let is_number = |part: &str, digits: usize| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
    let date = match date.split('-').collect::<Vec<_>>().as_slice() {
        [all] if is_number(all, 8) => format!("{}-{}-{}", &all[..4], &all[4..6], &all[6..]),
        [year] if is_number(year, 4) => format!("{year}-01-01"),
        [year, month] if is_number(year, 4) && is_number(month, 2) => format!("{year}-{month}-01"),
        [_, _, _] => date.to_owned(),
        _ => return None,
    };
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let time = time.replace(',', ".");
    let (clock, fraction) = match time.split_once('.') {
        Some((clock, fraction)) => (clock, format!(".{fraction}")),
        None => (time.as_str(), String::new()),
    };
    let digits = clock.replace(':', "");
    let clock = match digits.len() {
        0 if date_only => "00:00:00".to_owned(),
        2 => format!("{digits}:00:00"),
        4 => format!("{}:{}:00", digits.get(..2)?, digits.get(2..)?),
        6 => format!("{}:{}:{}", digits.get(..2)?, digits.get(2..4)?, digits.get(4..)?),
        _ => return None,
    };
    let zone = match zone.len() {
        0 => "Z".to_owned(),
        3 => format!("{zone}:00"),
        5 => format!("{}:{}", zone.get(..3)?, zone.get(3..)?),
        _ => zone.to_owned(),
    };
    format!("{date}T{clock}{fraction}{zone}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_python_reads_them() {
        for (string, expected) in [
            ("2026-01-31T10:00:00", Some("2026-01-31T10:00:00.000000")),
            ("2026-01-31 10:00:00.5Z", Some("2026-01-31T10:00:00.500000")),
            ("2026-01-31T10:00:00+02:00", Some("2026-01-31T08:00:00.000000")),
            ("2026-01-31T10:00:00+0200", Some("2026-01-31T08:00:00.000000")),
            ("2026-01-31T10+02", Some("2026-01-31T08:00:00.000000")),
            ("20260131T1000", Some("2026-01-31T10:00:00.000000")),
            ("2026-01-31", Some("2026-01-31T00:00:00.000000")),
            ("20260131", Some("2026-01-31T00:00:00.000000")),
            ("2026-02", Some("2026-02-01T00:00:00.000000")),
            ("2026", Some("2026-01-01T00:00:00.000000")),
            ("", None),
            ("abc", None),
            ("2026-13-01", None),
            ("2026-01-31T", None),
            ("2026-01-31T25:00:00", None),
            ("\u{e9}T\u{e9}\u{e9}", None),
        ] {
            assert_eq!(iso_time(string).map(|time| time.to_string()).as_deref(), expected, "{string}");
        }
    }
}

//! Cron expressions of six or seven fields, seconds first, in UTC, as Spin's cron trigger reads them.
//!
//! This file only computes times. `cron.rs` waits for them.

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// A parsed cron expression.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
}

impl Schedule {
    /// Parses an expression.
    ///
    /// # Errors
    ///
    /// Fails unless the expression has six or seven fields, all in range.
    pub fn parse(expression: &str) -> Result<Self> {
        let cron = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Optional)
            // Spin's trigger asks that day of month and day of week both match.
            .dom_and_dow(true)
            .build()
            .parse(expression)
            .with_context(|| format!("bad cron expression {expression:?}"))?;
        Ok(Self { cron })
    }

    /// Returns the first time after `now` at which the schedule fires, if there is one.
    pub fn next_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.find_next_occurrence(&now, false).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, now: &str) -> String {
        let now = now.parse::<DateTime<Utc>>().unwrap();
        Schedule::parse(expression).unwrap().next_after(now).unwrap().to_rfc3339()
    }

    #[test]
    fn seconds_come_first() {
        assert_eq!(next("*/1 * * * * *", "2026-01-01T00:00:00.5Z"), "2026-01-01T00:00:01+00:00");
        assert_eq!(next("*/5 * * * * *", "2026-01-01T00:00:05Z"), "2026-01-01T00:00:10+00:00");
        assert_eq!(next("30 0 12 * * *", "2026-01-01T12:00:30Z"), "2026-01-02T12:00:30+00:00");
        assert_eq!(next("0 0 0 1 1 * 2030", "2026-01-01T00:00:00Z"), "2030-01-01T00:00:00+00:00");
    }

    #[test]
    fn five_fields_are_refused() {
        let error = Schedule::parse("* * * * *").unwrap_err();
        assert_eq!(error.to_string(), "bad cron expression \"* * * * *\"");
    }
}

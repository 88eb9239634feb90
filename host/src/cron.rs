//! When the scheduled event fires: cron expressions of six or seven fields, seconds first, in UTC, as Spin's cron
//! trigger reads them.
//!
//! It must not know what a scheduled event does. As in Spin, each fire is an invocation of its own, nothing waits for
//! the one before, a fire that was missed is not made up for, and an error is only logged.

use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::app::App;

/// One cron expression.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
}

impl Schedule {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// When it is not one of six or seven fields, or a field is out of range.
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

    /// The first time after `now` at which the schedule fires, if there is one.
    pub fn next_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.find_next_occurrence(&now, false).ok()
    }
}

/// Fires the app's scheduled event at its times until this future is dropped. An event that runs then goes on; each
/// holds a clone of `running` until it has ended.
pub(crate) async fn run(app: App, schedules: Vec<Schedule>, running: mpsc::UnboundedSender<()>) {
    let mut clocks = JoinSet::new();
    for schedule in schedules {
        clocks.spawn(keep_schedule(app.clone(), schedule, running.clone()));
    }
    clocks.join_all().await;
}

async fn keep_schedule(app: App, schedule: Schedule, running: mpsc::UnboundedSender<()>) {
    while let Some(next) = schedule.next_after(Utc::now()) {
        sleep_until(next).await;
        let (app, running) = (app.clone(), running.clone());
        tokio::spawn(async move {
            if let Err(error) = app.tick(app.clock().now_in_seconds()).await {
                eprintln!("the scheduled event failed: {error:#}");
            }
            drop(running);
        });
    }
}

async fn sleep_until(time: DateTime<Utc>) {
    // A sleep may end a little early by the wall clock, which would fire twice, so it is repeated until it is time.
    while let Ok(left) = (time - Utc::now()).to_std() {
        if left.is_zero() {
            break;
        }
        tokio::time::sleep(left.max(Duration::from_millis(1))).await;
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

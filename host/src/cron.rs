//! Fires the scheduled event at the times of its schedules.
//!
//! It must not know what a scheduled event does. As in Spin, each event is an invocation of its own and does not wait for
//! the previous one, a missed event is not repeated, and an error is only logged.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::app::App;
use crate::manifest::CronTime;

/// Fires the scheduled events of the app's components at their times until this future is dropped. Events that are still running continue.
/// Each holds a clone of `running` until it ends.
pub(crate) async fn run(app: App, times: Vec<CronTime>, running: mpsc::UnboundedSender<()>) {
    let mut clocks = JoinSet::new();
    for time in times {
        clocks.spawn(keep_schedule(app.clone(), time, running.clone()));
    }
    clocks.join_all().await;
}

async fn keep_schedule(app: App, time: CronTime, running: mpsc::UnboundedSender<()>) {
    let component = time.component;
    while let Some(next) = time.schedule.next_after(Utc::now()) {
        sleep_until(next).await;
        let (app, running) = (app.clone(), running.clone());
        tokio::spawn(async move {
            if let Err(error) = app.fire(component, app.clock().now_in_seconds()).await {
                app.output().report(&format!("the scheduled event failed: {error:#}"));
            }
            drop(running);
        });
    }
}

async fn sleep_until(time: DateTime<Utc>) {
    // By the wall clock a sleep may end a little early, and the event would fire twice. So sleep again until it is time.
    while let Ok(left) = (time - Utc::now()).to_std() {
        if left.is_zero() {
            break;
        }
        tokio::time::sleep(left.max(Duration::from_millis(1))).await;
    }
}

//! The page that `make bench` writes, `docs/benchmarks.md`: figures in, Markdown out.

use std::fmt::Write as _;

use crate::support::SNAPSHOTS;
use crate::{LOADS, ROUNDS, WARM_UP};

/// The place of 4 connections in `LOADS`, the greatest number at which Cinder was measured.
pub const AT_4: usize = 1;
/// The place of 16 connections in `LOADS`.
pub const AT_16: usize = 2;

/// Requests a second of Cinder 29 on `SQLite` with two API workers, measured on another day on two cores of AMD EPYC.
#[derive(Clone, Copy)]
pub struct Cinder {
    pub at_1: f64,
    pub at_4: f64,
    /// At 4 connections, in a second run a while later.
    pub at_4_later: f64,
}

impl Cinder {
    /// Returns the better of the two runs at 4 connections, so that the comparison does not flatter us.
    pub fn better_at_4(self) -> f64 {
        self.at_4.max(self.at_4_later)
    }
}

/// The figures of one case: a row of each table, and a pair of bars in the chart.
pub struct Row {
    pub name: &'static str,
    pub goal: &'static str,
    pub cinder: Cinder,
    /// Requests a second, in the order of `LOADS`.
    pub rates: [f64; LOADS.len()],
    /// Microseconds of the server's processor time for each item of an answer, at 16 connections.
    pub processor_per_item: Option<f64>,
    /// Nothing where no bare component does the same work.
    pub beside: Option<Beside>,
}

impl Row {
    /// Returns how many times as many requests as Cinder we answer at 4 connections.
    pub fn times_cinder(&self) -> f64 {
        self.rates[AT_4] / self.cinder.better_at_4()
    }
}

/// Our component beside the bare one.
pub struct Beside {
    /// The work of the bare component.
    pub does: &'static str,
    /// The goal for the ratio at 16 connections.
    pub goal: &'static str,
    /// In the order of `LOADS`.
    pub pairs: [Pair; LOADS.len()],
}

/// Both components at one number of connections.
pub struct Pair {
    pub bare_rate: f64,
    pub ratio: Spread,
    /// Microseconds of the servers' processor time for each request: ours, and the bare component's.
    pub processor: Option<(f64, f64)>,
}

/// The median of all rounds, with the extremes.
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub greatest: f64,
}

/// The circumstances of a run.
pub struct Circumstances {
    pub command: &'static str,
    pub date: String,
    pub host: String,
    pub machine: String,
    pub tools: String,
}

/// The figures that are no rate of requests.
pub struct Others {
    /// Microseconds of an idle run of the schedule: ours, and the bare component's.
    pub ticks: (f64, f64),
    pub tick_ratio: f64,
    /// Milliseconds.
    pub first_answer: f64,
    /// Bytes.
    pub size: u64,
    pub fits_in_memory: bool,
}

/// Writes a rate or a factor with a decimal where it is small, and with separators between thousands.
pub fn number(value: f64) -> String {
    if value < 20.0 {
        return format!("{value:.1}");
    }
    separated(&format!("{value:.0}"))
}

/// Separates the thousands of a whole number.
fn separated(digits: &str) -> String {
    let mut separated = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            separated.push(',');
        }
        separated.push(digit);
    }
    separated
}

/// Joins words as in "1, 4, and 16".
fn series(words: [usize; LOADS.len()]) -> String {
    let [first, second, third] = words;
    format!("{first}, {second}, and {third}")
}

/// Returns the page.
pub fn page(circumstances: &Circumstances, rows: &[Row], others: &Others) -> String {
    let Circumstances { command, date, host, machine, tools } = circumstances;
    format!(
        "# Benchmarks\n\n\
         `{command}` wrote this page and its chart on {date}; do not edit them.\n\n\
         - **Host**: {host}\n\
         - **Machine**: {machine}\n\
         - **Tools**: {tools}\n\n\
         ![Requests a second with 4 connections, ours beside Cinder](benchmarks.svg)\n\n\
         ## Compared with Cinder\n\n{}\n\
         ## Compared with a bare component\n\n{}\n\
         ## Other goals\n\n{}\n\
         ## Method\n\n{}",
        beside_cinder(rows),
        beside_bare(rows),
        other_goals(others),
        method(),
    )
}

fn beside_cinder(rows: &[Row]) -> String {
    let mut text = "Requests a second by the number of connections. Higher is better.\n\n\
         | Work | ours, 1 | ours, 4 | ours, 16 | Cinder, 1 | Cinder, 4 | Cinder, 4, later | × Cinder, both at 4 \
         | processor, µs an item, at 16 | goal |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n"
        .to_owned();
    for row in rows {
        let [one, four, sixteen] = row.rates.map(number);
        let [cinder_one, cinder_four, later] = [row.cinder.at_1, row.cinder.at_4, row.cinder.at_4_later].map(number);
        let processor = row.processor_per_item.map_or_else(String::new, |time| format!("{time:.1}"));
        let (name, times, goal) = (row.name, number(row.times_cinder()), row.goal);
        let _ = writeln!(
            text,
            "| {name} | {one} | {four} | {sixteen} | {cinder_one} | {cinder_four} | {later} | {times} | {processor} | {goal} |"
        );
    }
    text + "\n\
         **Cinder was not measured in this run.** Its figures are of another day, on a machine of the kind on which this \
         project is developed (2 × AMD EPYC): Cinder 29 on SQLite with two API workers, at 1 and at 4 connections, and at 4 \
         again a while later. The ratio is to the better of its two runs at 4. On another kind of machine it says little. \
         A quarter of Cinder's creates failed at 4 connections; all of ours succeeded. A production Cinder has another \
         database, more workers, and a storage backend, which this service never has.\n"
}

fn beside_bare(rows: &[Row]) -> String {
    let mut text = "The bare component (`benches/bare`) makes the same calls of the store for each request and does nothing \
         else.\n\n\
         | Work | bare component | connections | ours | bare | ratio (least to greatest) | processor, µs a request | goal |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n"
        .to_owned();
    for row in rows {
        let Some(Beside { does, goal, pairs }) = &row.beside else { continue };
        for (place, pair) in pairs.iter().enumerate() {
            let processor =
                pair.processor.map_or_else(String::new, |(ours, bare)| format!("ours {ours:.0}, bare {bare:.0}"));
            let Spread { least, median, greatest } = pair.ratio;
            let _ = writeln!(
                text,
                "| {} | {does} | {} | {} | {} | {median:.2} ({least:.2} to {greatest:.2}) | {processor} | {} |",
                row.name,
                LOADS[place].connections,
                number(row.rates[place]),
                number(pair.bare_rate),
                if place == AT_16 { goal } else { "" },
            );
        }
    }
    text
}

fn other_goals(others: &Others) -> String {
    let Others { ticks: (own_tick, bare_tick), tick_ratio, first_answer, size, fits_in_memory } = others;
    let fits = if *fits_in_memory { "all answered" } else { "not all answered" };
    format!(
        "| | measured | goal |\n\
         | --- | ---: | --- |\n\
         | idle run of the schedule, {snapshots} snapshots; bare: three `get`s | {own_tick:.0} µs; bare {bare_tick:.0} µs; \
         ratio {tick_ratio:.2} | ratio ≤ 2 |\n\
         | first answer after the server accepts | {first_answer:.1} ms | ≤ 50 ms |\n\
         | size of the component | {size} bytes | ≤ 2,097,152 bytes |\n\
         | {snapshots} requests, every tenth a list of 1,000, in 16 MiB of memory each | {fits} | all answered |\n",
        snapshots = separated(&SNAPSHOTS.to_string()),
        size = separated(&size.to_string()),
    )
}

fn method() -> String {
    format!(
        "Each rate is the median of {ROUNDS} rounds. In a round, a server is started, warmed up for {warm_up} s, and then \
         measured by wrk at {connections} connections, for {seconds} seconds. Where there is a bare component, the same \
         follows with a server of it, and the ratio is that of the round: the same host, connections, headers, number of \
         rows, and length of keys.\n\n\
         The data is in a SQLite file with {snapshots} snapshots of one project. Writes vary their values, because SQLite \
         does not write an identical one. An answer that is no success ends the run. Processor time is that of the server, \
         kernel included. Rates depend on the machine and on the day, and those of writes above all on its disk. The ratios \
         to the bare component depend on them much less.\n",
        warm_up = WARM_UP.seconds,
        connections = series(LOADS.map(|load| load.connections)),
        seconds = series(LOADS.map(|load| load.seconds)),
        snapshots = separated(&SNAPSHOTS.to_string()),
    )
}

//! Replays the recorded answers for the resources around snapshots (`neighbour-vectors.json`), natively and on the
//! component. `neighbours-open.txt` lists the vectors that are not answered alike, an id a line. Both directions count: a
//! vector that begins to differ fails the test, and so does one that agrees and is still in the list.
//!
//! `docs/conformance-neighbours.md` has the sums by area. `UPDATE_CONFORMANCE=1 cargo test --test it
//! conformance::neighbours` rewrites both files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::replay::{self, Report};
use crate::support::component::ComponentService;
use crate::support::native::{NativeService, TestVariables};

const OPEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/conformance/neighbours-open.txt");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance-neighbours.md");

#[test]
fn the_core_answers_the_vectors_of_the_neighbours_as_cinder_does() {
    let report = replay::run(&replay::vectors(replay::NEIGHBOURS), || {
        NativeService::with_variables(TestVariables::default().with("auth_mode", "headers"))
    });
    if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
        let ids: Vec<&str> = report.failures.iter().map(|(id, _)| id.as_str()).collect();
        std::fs::write(OPEN, ids.join("\n") + "\n").expect("the list can be written");
    }
    only_open_vectors_differ("native", &report);
}

#[test]
fn the_component_answers_the_vectors_of_the_neighbours_as_cinder_does() {
    let report =
        replay::run(&replay::vectors(replay::NEIGHBOURS), || ComponentService::new(&[("auth_mode", "headers")]));
    only_open_vectors_differ("component", &report);
    keep_document(&report);
}

/// Compares `docs/conformance-neighbours.md` with the result of the replay. An area is the first word of a vector's id.
fn keep_document(report: &Report) {
    let area = |id: &str| id.split('-').next().unwrap_or_default().to_owned();
    let mut areas: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for vector in replay::vectors(replay::NEIGHBOURS) {
        areas.entry(area(vector["id"].as_str().unwrap_or_default())).or_default().1 += 1;
    }
    for (agreeing, total) in areas.values_mut() {
        *agreeing = *total;
    }
    for (id, _) in &report.failures {
        if let Some((agreeing, _)) = areas.get_mut(&area(id)) {
            *agreeing -= 1;
        }
    }
    let mut document = format!(
        "# Conformance of the resources around snapshots\n\nWritten by `tests/it/conformance` from a replay of \
         `tests/it/conformance/neighbour-vectors.json` against the component; do not edit.\n\n**{} of {}** recorded \
         answers of Cinder are answered alike. \
         [cinder-differences.md](cinder-differences.md) lists what is left out on purpose. \
         `tests/it/conformance/neighbours-open.txt` names the vectors that differ.\n\n| Area | Alike | Recorded |\n\
         | --- | ---: | ---: |\n",
        report.agreeing(),
        report.total
    );
    for (area, (agreeing, total)) in &areas {
        // Writing to a `String` cannot fail.
        let _ = writeln!(document, "| {area} | {agreeing} | {total} |");
    }
    if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
        std::fs::write(DOCUMENT, &document).expect("the document can be written");
    }
    let written = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    assert_eq!(written, document, "write docs/conformance-neighbours.md with UPDATE_CONFORMANCE=1");
}

fn only_open_vectors_differ(name: &str, report: &Report) {
    report.print(name);
    let open = std::fs::read_to_string(OPEN).expect("the list can be read");
    let open: BTreeSet<&str> = open.lines().collect();
    let differing: BTreeSet<&str> = report.failures.iter().map(|(id, _)| id.as_str()).collect();
    let broken: Vec<&&str> = differing.difference(&open).collect();
    let mended: Vec<&&str> = open.difference(&differing).collect();
    assert!(broken.is_empty() && mended.is_empty(), "these differ now: {broken:?}; these agree now: {mended:?}");
}

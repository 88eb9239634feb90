//! Replays the recorded answers for the resources around snapshots (`neighbour-vectors.json`), natively and on the
//! component. `neighbours-open.txt` lists the vectors that are not answered alike, an id a line. Both directions count: a
//! vector that begins to differ fails the test, and so does one that agrees and is still in the list.
//!
//! `UPDATE_CONFORMANCE=1 cargo test --test it conformance::neighbours` rewrites the list.

use std::collections::BTreeSet;

use super::replay::{self, Report};
use crate::support::component::ComponentService;
use crate::support::native::{NativeService, TestVariables};

const OPEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/conformance/neighbours-open.txt");

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

//! Replays every recorded answer of Cinder (`tests/it/conformance/test-vectors.json` and `neighbour-vectors.json`) against the core, natively, and
//! against the component, and compares the result with `docs/conformance.md`.
//!
//! `UPDATE_CONFORMANCE=1 cargo test --test it conformance` rewrites that document.

mod lifecycle;
mod neighbours;
mod replay;

use crate::support::component::ComponentService;
use crate::support::native::{NativeService, TestVariables};
use replay::Report;

/// The vectors from which we differ on purpose, with the reasons. All others must agree.
const BETTER_ON_PURPOSE: [(&str, &str); 1] = [(
    "list-count-admin-alltenants0",
    "Cinder lists the caller's project and counts 0, because a leftover `all_tenants` is taken for a column. \
     `docs/spec/listing.md` section 5 calls this a defect and recommends to count the caller's project, as we do.",
)];

#[test]
fn the_core_answers_every_vector_as_cinder_does() {
    let report = replay::run(&replay::vectors(replay::SNAPSHOTS), || {
        NativeService::with_variables(TestVariables::default().with("auth_mode", "headers"))
    });
    only_differs_on_purpose("native", &report);
}

#[test]
fn the_component_answers_every_vector_as_cinder_does() {
    let report =
        replay::run(&replay::vectors(replay::SNAPSHOTS), || ComponentService::new(&[("auth_mode", "headers")]));
    only_differs_on_purpose("component", &report);
    keep_document(&report);
}

fn only_differs_on_purpose(name: &str, report: &Report) {
    report.print(name);
    let differing: Vec<&str> = report.failures.iter().map(|(id, _)| id.as_str()).collect();
    let on_purpose: Vec<&str> = BETTER_ON_PURPOSE.iter().map(|(id, _)| *id).collect();
    assert_eq!(differing, on_purpose, "these vectors differ, and those may");
}

/// Compares `docs/conformance.md` with the result of the replay.
fn keep_document(report: &Report) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md");
    let mut rows = String::new();
    for (id, difference) in &report.failures {
        let reason = BETTER_ON_PURPOSE.iter().find(|(own, _)| own == id).map_or("unknown", |(_, reason)| reason);
        rows.push_str(&["| `", id, "` | ", difference, " | ", reason, " |\n"].concat());
    }
    let document = format!(
        "# Conformance\n\nWritten by `tests/it/conformance` from a replay of `tests/it/conformance/test-vectors.json` against the \
         component; do not edit.\n\n**{} of {}** recorded answers of Cinder are answered alike. Where a vector carries \
         a recommendation because Cinder is defective, the recommendation counts.\n\n| Vector | Difference | Why \
         |\n| --- | --- | --- |\n{rows}",
        report.agreeing(),
        report.total
    );
    if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
        std::fs::write(path, &document).expect("docs/conformance.md can be written");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, document, "write docs/conformance.md anew with UPDATE_CONFORMANCE=1");
}

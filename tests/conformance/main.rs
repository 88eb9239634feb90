//! Replays every recorded answer of Cinder (`test-vectors.json`) against the core natively and against the component.

#[path = "../support/mod.rs"]
mod support;

mod replay;

use support::component::ComponentService;
use support::native::{NativeService, TestVariables};

#[test]
fn the_core_answers_every_vector_as_cinder_does() {
    let vectors = replay::vectors();
    let report =
        replay::run(&vectors, || NativeService::with_variables(TestVariables::default().with("auth_mode", "headers")));
    report.print("native");
    assert!(report.failures.is_empty(), "{} vectors differ", report.failures.len());
}

#[test]
fn the_component_answers_every_vector_as_cinder_does() {
    let vectors = replay::vectors();
    let report = replay::run(&vectors, || ComponentService::new(&[("auth_mode", "headers")]));
    report.print("component");
    assert!(report.failures.is_empty(), "{} vectors differ", report.failures.len());
}

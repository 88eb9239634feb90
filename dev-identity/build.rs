//! Gives this component the same stack as the main one; see the `build.rs` of the repository.

#![allow(clippy::disallowed_methods, reason = "cargo passes its settings as environment variables")]

fn main() {
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=131072");
    }
    println!("cargo::rerun-if-changed=build.rs");
}

//! Finds the components that the feature `embed` puts into the program.

#![allow(clippy::disallowed_methods, reason = "a build script reads the environment")]

use std::path::PathBuf;

/// The components: the variable that names another file, and the file that `make build` writes.
const COMPONENTS: [(&str, &str); 2] = [
    ("VOLUME_SNAPSHOTS_WASM", "volume_snapshots.wasm"),
    ("VOLUME_SNAPSHOTS_DEV_IDENTITY_WASM", "volume_snapshots_dev_identity.wasm"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_EMBED").is_none() {
        return;
    }
    let built = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/wasm32-wasip2/release"));
    for (variable, file) in COMPONENTS {
        println!("cargo::rerun-if-env-changed={variable}");
        let path = std::env::var_os(variable).map_or_else(|| built.join(file), PathBuf::from);
        println!("cargo::rerun-if-changed={}", path.display());
        match path.canonicalize() {
            Ok(path) => println!("cargo::rustc-env={variable}={}", path.display()),
            Err(error) => println!(
                "cargo::error=the program contains {}, which cannot be read ({error}); run `make dist`, which builds it, \
                 or name another file in {variable}",
                path.display()
            ),
        }
    }
}

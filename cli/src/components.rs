//! The manifest and the components: those within this program, or those of a file.

use std::path::Path;

use anyhow::Result;
use volume_snapshots_host::Manifest;

/// Reads the manifest that the command line names, or else the one within this program.
///
/// # Errors
///
/// Fails like [`Manifest::load`].
pub fn manifest(path: Option<&Path>) -> Result<Manifest> {
    path.map_or_else(embedded, Manifest::load)
}

#[cfg(feature = "embed")]
fn embedded() -> Result<Manifest> {
    Manifest::embedded(
        include_str!("../../spin.toml"),
        &[
            ("volume-snapshots", include_bytes!(env!("VOLUME_SNAPSHOTS_WASM"))),
            ("dev-identity", include_bytes!(env!("VOLUME_SNAPSHOTS_DEV_IDENTITY_WASM"))),
        ],
    )
}

#[cfg(not(feature = "embed"))]
fn embedded() -> Result<Manifest> {
    anyhow::bail!("this build contains no component; name a manifest, such as --manifest spin.toml")
}

//! The size of metadata.

use super::Metadata;

/// The largest metadata, in bytes, of which a thousand rows are read at once. A project with larger ones is marked, so that
/// lists read its rows a few at a time.
pub const LARGE: usize = 4_096;

/// Returns the size of metadata: the bytes of its keys and values in UTF-8.
#[must_use]
pub fn size(metadata: &Metadata) -> usize {
    metadata.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// Returns whether metadata is larger than [`LARGE`].
#[must_use]
pub fn is_large(metadata: &Metadata) -> bool {
    size(metadata) > LARGE
}

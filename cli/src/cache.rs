//! The directory with the machine code of the components, so that only the first start compiles them.
//!
//! Anyone who can write there controls the code that this program runs. So the directory must belong to the user, and
//! nobody else may write to it.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::Result;
use volume_snapshots_host::{Application, Manifest};

/// Compiles the components of a manifest, or reads their machine code from the cache.
///
/// # Errors
///
/// Fails like [`Application::compile`].
pub fn compile(manifest: Manifest) -> Result<Application> {
    let directory = candidates().into_iter().find(|directory| is_usable(directory));
    let cache = directory.as_deref();
    // Of several first starts at once, one compiles and the others wait for its result. A failure to lock costs only time.
    let lock = cache.and_then(|directory| File::create(directory.join("lock")).ok());
    if let Some(lock) = &lock {
        let _ = lock.lock();
    }
    Application::compile_with_cache(manifest, cache)
}

/// Returns the directories that may hold the cache, the best one first.
fn candidates() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let home = home.map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }));
    let own = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let of_user = [own, home].into_iter().flatten().map(|directory| directory.join("volume-snapshots"));
    let user = rustix::process::geteuid().as_raw();
    let temporary = std::env::temp_dir().join(format!("volume-snapshots-{user}"));
    // The cache of compiled components needs an absolute path.
    of_user.chain([temporary]).filter(|directory| directory.is_absolute()).collect()
}

/// Creates a directory if it is missing, and returns whether it is private and can be written.
fn is_usable(directory: &Path) -> bool {
    let check = || {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        // A link could be changed by its owner after the check.
        let metadata = std::fs::symlink_metadata(directory)?;
        let is_own = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
        File::create(directory.join("lock"))?;
        Ok::<_, io::Error>(is_own && metadata.mode() & 0o022 == 0)
    };
    check().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_others_can_write_is_no_cache() {
        let directory = std::env::temp_dir().join(format!("volume-snapshots-cache-test-{}", std::process::id()));
        assert!(is_usable(&directory));
        assert_eq!(std::fs::metadata(&directory).expect("a directory").mode() & 0o777, 0o700);
        std::fs::set_permissions(&directory, Permissions::from_mode(0o770)).expect("permissions");
        assert!(!is_usable(&directory));
        std::fs::remove_dir_all(&directory).expect("removed");
        assert!(!is_usable(Path::new("/proc/no-such-directory")));
    }
}

//! The modes of the files that the SQLite store creates or opens.

use std::fs::{Permissions, metadata, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use volume_snapshots_host::{SqliteStore, Store};

use crate::support::component::runtime;

/// A directory that is deleted after the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("file-mode-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Returns the name and mode of each file.
    fn modes(&self) -> Vec<(String, u32)> {
        let entries = std::fs::read_dir(&self.0).unwrap().map(Result::unwrap);
        let mut modes: Vec<_> =
            entries.map(|entry| (entry.file_name().into_string().unwrap(), mode(&entry.path()))).collect();
        modes.sort();
        modes
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    metadata(path).unwrap().permissions().mode() & 0o7777
}

fn write(store: &SqliteStore) {
    runtime().block_on(async { store.set("default", "a", b"1") }).unwrap();
}

#[test]
fn a_new_file_is_private() {
    let directory = Directory::new("new");
    write(&SqliteStore::open(directory.0.join("a.db")).unwrap());
    assert_eq!(directory.modes(), [("a.db".to_owned(), 0o600)]);
}

#[test]
fn a_file_that_others_could_read_becomes_private_with_the_files_beside_it() {
    let directory = Directory::new("old");
    let file = directory.0.join("a.db");
    // Another process has the file open, so the files beside it exist.
    let other = Connection::open(&file).unwrap();
    other.pragma_update(None, "journal_mode", "WAL").unwrap();
    other.execute("CREATE TABLE other (a)", []).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        set_permissions(directory.0.join(format!("a.db{suffix}")), Permissions::from_mode(0o644)).unwrap();
    }
    let store = SqliteStore::open(&file).unwrap();
    write(&store);
    let private = |name: &str| (name.to_owned(), 0o600);
    assert_eq!(directory.modes(), [private("a.db"), private("a.db-shm"), private("a.db-wal")]);
}

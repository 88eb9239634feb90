//! The slots over which the agenda and the directory are spread.

use crate::domain::ProjectId;

/// The number of slots. It is part of the format, since it decides which slot a project is in.
pub const SLOTS: usize = 16;

/// Returns the slot of a project: the FNV-1a hash of its id, so that projects spread evenly.
#[must_use]
pub fn slot_of(project: &ProjectId) -> usize {
    let hash =
        project.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_of_a_project_never_changes() {
        let slots: Vec<usize> = ["a1", "b2", "a1000000000000000000000000000001", "é"]
            .iter()
            .map(|id| slot_of(&id.parse().expect("a project id")))
            .collect();
        assert_eq!(slots, [7, 5, 12, 1]);
    }
}

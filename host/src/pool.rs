//! The pool of memories, tables, and stacks that invocations use one after another.
//!
//! No invocation may see what an earlier one has left there (`docs/adr/0014-memory-between-requests.md`).

use wasmtime::{Enabled, PoolingAllocationConfig};

use crate::slots::chained_beside;

/// The upper bound of [`crate::Options::memory_limit`].
pub const LARGEST_MEMORY: usize = 1 << 30;

/// The number of invocations that run at once. Others wait for their turn. Requests that components send to each other
/// run beside them, a quarter as many.
pub const INVOCATIONS_AT_ONCE: usize = 256;

/// The number of guests that the pool has room for.
const GUESTS_AT_ONCE: usize = INVOCATIONS_AT_ONCE + chained_beside(INVOCATIONS_AT_ONCE);

/// The part of a guest's memory that is cleared with a copy and stays resident for the next invocation, in bytes. The
/// part above it is given back to the kernel and faulted in again. Most requests stay below.
const RESIDENT_MEMORY: usize = 2 << 20;

/// The part of a guest's table and stack that stays resident for the next invocation, in bytes. A larger part costs
/// more to clear than it saves.
const KEPT_RESIDENT: usize = 64 << 10;

/// Returns the settings of the pool.
pub(crate) fn pool() -> PoolingAllocationConfig {
    let guests = u32::try_from(GUESTS_AT_ONCE).expect("a small number");
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(guests)
        .total_stacks(guests)
        .total_memories(guests)
        // A component has its own instance and table, and those of the small modules that connect it with its imports.
        .total_core_instances(guests * 8)
        .total_tables(guests * 4)
        .max_memory_size(LARGEST_MEMORY)
        .linear_memory_keep_resident(RESIDENT_MEMORY)
        // Before wasmtime 50.0.1 this does not clear a page that was swapped out.
        .pagemap_scan(Enabled::No)
        .table_keep_resident(KEPT_RESIDENT)
        .async_stack_keep_resident(KEPT_RESIDENT);
    pool
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Engine, Extern, Instance, InstanceAllocationStrategy, Memory, Module, Store};

    use super::*;

    /// The size of a page of WebAssembly.
    const PAGE: usize = 64 << 10;

    /// The pages of memory at the start, and after it has grown. Some are cleared with a copy, and some are given back.
    const PAGES: [u64; 2] = [24, 48];

    /// A module that exports its memory as `m`, with a string of data on its second page.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\
        \x05\x03\x01\0\x18\
        \x07\x05\x01\x01m\x02\0\
        \x0b\x10\x01\0\x41\x80\x80\x04\x0b\x08original";

    fn memory(store: &mut Store<()>, module: &Module) -> Memory {
        let instance = Instance::new(&mut *store, module, &[]).unwrap();
        let Some(Extern::Memory(memory)) = instance.get_export(&mut *store, "m") else { panic!("no memory") };
        memory
    }

    /// Asserts that a memory is as the module says.
    fn assert_original(bytes: &[u8]) {
        let found = bytes.iter().position(|byte| *byte != 0);
        assert_eq!(found, Some(PAGE), "the first byte that is not zero");
        let (original, rest) = bytes[PAGE..].split_at(8);
        assert_eq!(original, b"original");
        assert_eq!(rest.iter().position(|byte| *byte != 0), None, "after the data");
    }

    fn is_zero(bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| *byte == 0)
    }

    #[test]
    fn a_page_that_was_swapped_out_is_cleared_too() {
        // Remove this once the version of wasmtime is 50.0.1 or later.
        assert!(matches!(pool().get_pagemap_scan(), Enabled::No));
    }

    /// Fills all memory of each instance with a pattern, in all places of the pool at once and then again.
    #[test]
    fn no_instance_sees_the_bytes_of_another() {
        assert!(PAGES[0] as usize * PAGE < RESIDENT_MEMORY && RESIDENT_MEMORY < PAGES[1] as usize * PAGE);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, MODULE).unwrap();
        for round in 0..4_u8 {
            // A store keeps its place until it is dropped.
            let mut stores = Vec::new();
            for number in 0..GUESTS_AT_ONCE {
                let mut store = Store::new(&engine, ());
                let memory = memory(&mut store, &module);
                assert_original(memory.data(&store));
                // Others grow, so that a place is used for memories of both sizes.
                if (number + usize::from(round)).is_multiple_of(2) {
                    memory.grow(&mut store, PAGES[1] - PAGES[0]).unwrap();
                    assert!(is_zero(&memory.data(&store)[PAGES[0] as usize * PAGE..]), "the new pages");
                }
                memory.data_mut(&mut store).fill(0xa0 | round);
                stores.push(store);
            }
        }
    }
}

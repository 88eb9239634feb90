//! The bindings that wasmtime generates from `wit/`: the interfaces of Spin and `wasi:keyvalue` that this host offers,
//! and the scheduled export that it calls.
//!
//! The resources of both key-value interfaces map to the same Rust type, because in Spin, too, they share one table of
//! open stores.

wasmtime::component::bindgen!({
    path: "wit",
    world: "component",
    imports: { default: trappable },
    exports: { default: async },
    with: {
        "fermyon:spin/key-value.store": crate::key_value::host::OpenStore,
        "wasi:keyvalue/store.bucket": crate::key_value::host::OpenStore,
        "wasi:keyvalue/atomics.cas": crate::key_value::host::OpenSwap,
    },
    trappable_error_type: {
        "fermyon:spin/key-value.error" => crate::key_value::store::StoreError,
        "fermyon:spin/variables.error" => crate::variables::VariableError,
        "wasi:keyvalue/store.error" => crate::key_value::store::StoreError,
        "wasi:keyvalue/atomics.cas-error" => crate::key_value::host::SwapError,
    },
});

//! The state that the host keeps for one invocation of the guest, and the linker that gives the guest its imports.
//!
//! It must not know how an invocation starts or ends.

use std::sync::Arc;

use anyhow::Result;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, StoreLimits};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::bindings::fermyon::spin::{key_value as spin_key_value, variables};
use crate::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::key_value::host::KeyValue;
use crate::outbound::Outbound;
use crate::variables::ComponentVariables;

/// The state of one invocation of the guest.
pub(crate) struct Invocation {
    pub(crate) wasi: WasiCtx,
    pub(crate) http: WasiHttpCtx,
    pub(crate) table: ResourceTable,
    pub(crate) outbound: Outbound,
    pub(crate) key_value: KeyValue,
    pub(crate) variables: Arc<ComponentVariables>,
    pub(crate) limits: StoreLimits,
}

impl WasiView for Invocation {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Invocation {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outbound }
    }
}

/// Returns a linker with every import that this host offers.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Invocation>> {
    fn key_value(invocation: &mut Invocation) -> &mut KeyValue {
        &mut invocation.key_value
    }
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    spin_key_value::add_to_linker::<_, HasSelf<KeyValue>>(&mut linker, key_value)?;
    store::add_to_linker::<_, HasSelf<KeyValue>>(&mut linker, key_value)?;
    atomics::add_to_linker::<_, HasSelf<KeyValue>>(&mut linker, key_value)?;
    batch::add_to_linker::<_, HasSelf<KeyValue>>(&mut linker, key_value)?;
    variables::add_to_linker::<_, HasSelf<Arc<ComponentVariables>>>(&mut linker, |invocation| {
        &mut invocation.variables
    })?;
    Ok(linker)
}

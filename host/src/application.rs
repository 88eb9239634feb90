//! The application as it is loaded: the checked manifest and the compiled component, shared by every app that runs it.
//!
//! Compiling takes seconds, so it happens once. It must not know requests or stores; those belong to a running app.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    Store as WasmStore, UpdateDeadline,
};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::bindings::ComponentPre as ScheduledPre;
use crate::invocation::{Invocation, linker};
use crate::manifest::Manifest;
use crate::variables::ENVIRONMENT_PREFIX;

/// The largest memory a guest can be given; see [`crate::Options::memory_limit`].
pub const LARGEST_MEMORY: usize = 1 << 30;

/// How many invocations run at once; more wait for their turn.
const INVOCATIONS_AT_ONCE: u32 = 256;

/// How much of a guest's memory stays resident for the next invocation. Where the kernel can tell which pages were used
/// (Linux 6.7), only those are made as they were, and no page is given back and faulted in again
/// (`docs/adr/0006-speed.md`).
const RESIDENT_MEMORY: usize = 4 << 20;

/// How much of a guest's table and stack is kept for the next invocation instead of being given back. More
/// than this costs more to clear than it saves.
const KEPT_RESIDENT: usize = 64 << 10;

/// The directory beside the component that keeps what it was compiled to, so that only the first start compiles it.
const COMPILED_COMPONENTS: &str = ".compiled";

/// How often a guest that computes lets other invocations have the thread.
const TIME_SLICE: Duration = Duration::from_millis(10);

/// A compiled application. Clones share it.
#[derive(Clone)]
pub struct Application {
    shared: Arc<Shared>,
}

struct Shared {
    manifest: Manifest,
    engine: Engine,
    /// Present where the manifest has an HTTP trigger.
    http: Option<ProxyPre<Invocation>>,
    /// Present where the component has the scheduled export.
    scheduled: Option<ScheduledPre<Invocation>>,
    slots: Arc<Semaphore>,
    imported_functions: usize,
}

impl Application {
    /// Loads a manifest and compiles its component: seconds, and longer where this crate is built without optimization.
    ///
    /// # Errors
    ///
    /// As [`Manifest::load`]; and when the component does not compile, imports what this host does not offer, or lacks
    /// the export that a trigger of the manifest calls.
    pub fn load(manifest: impl AsRef<Path>) -> Result<Self> {
        Self::compile(Manifest::load(manifest)?)
    }

    /// Compiles the component of a manifest.
    ///
    /// # Errors
    ///
    /// As [`Application::load`].
    pub fn compile(manifest: Manifest) -> Result<Self> {
        Self::compile_on(engine(false, &manifest)?, manifest)
    }

    /// Loads a manifest and compiles its component so that its instructions are counted, see [`crate::App::instructions`]; it
    /// runs slower.
    ///
    /// # Errors
    ///
    /// As [`Application::load`].
    pub fn load_counting(manifest: impl AsRef<Path>) -> Result<Self> {
        let manifest = Manifest::load(manifest)?;
        Self::compile_on(engine(true, &manifest)?, manifest)
    }

    fn compile_on(engine: Engine, manifest: Manifest) -> Result<Self> {
        let source = manifest.source.display();
        let component = Component::from_file(&engine, &manifest.source)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("cannot compile {source}"))?;
        let imported_functions = imported_functions(&component);
        let component = linker(&engine)?
            .instantiate_pre(&component)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("{source} imports what this host does not offer"))?;
        let http = ProxyPre::new(component.clone()).ok();
        ensure!(http.is_some() || !manifest.serves_http, "{source} has no export for the HTTP trigger");
        let scheduled = ScheduledPre::new(component).ok();
        ensure!(
            scheduled.is_some() || manifest.schedules.is_empty(),
            "{source} has no export `handle-cron-event` for the cron trigger"
        );
        keep_time(&engine);
        let slots = Arc::new(Semaphore::new(INVOCATIONS_AT_ONCE as usize));
        Ok(Self { shared: Arc::new(Shared { manifest, engine, http, scheduled, slots, imported_functions }) })
    }

    /// What the application was compiled from.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// How many functions of the host the component imports. Each is made ready for each request, whether that calls it or
    /// not.
    pub fn imported_functions(&self) -> usize {
        self.shared.imported_functions
    }

    /// The names of environment variables that look as if they set a variable which the manifest does not define.
    pub fn unknown_environment_variables(&self) -> Vec<String> {
        let known: HashSet<String> =
            self.shared.manifest.variables.keys().map(|name| name.to_ascii_uppercase()).collect();
        let is_unknown = |key: &String| key.strip_prefix(ENVIRONMENT_PREFIX).is_some_and(|name| !known.contains(name));
        let keys = std::env::vars_os().filter_map(|(key, _)| key.into_string().ok());
        let mut unknown: Vec<String> = keys.filter(is_unknown).collect();
        unknown.sort();
        unknown
    }

    /// Waits until another invocation may run.
    pub(crate) async fn slot(&self) -> OwnedSemaphorePermit {
        self.shared.slots.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// What a guest needs to run, in an engine's store of its own.
    pub(crate) fn wasm_store(&self, invocation: Invocation) -> WasmStore<Invocation> {
        let mut store = WasmStore::new(&self.shared.engine, invocation);
        store.limiter(|invocation| &mut invocation.limits);
        // At the end of each slice the guest yields, so that a timeout around it fires although it never waits.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        // An error says that this engine counts no instructions.
        let _ = store.set_fuel(u64::MAX);
        store
    }

    pub(crate) fn http(&self) -> Result<&ProxyPre<Invocation>> {
        self.shared.http.as_ref().context("the component has no HTTP export")
    }

    pub(crate) fn scheduled(&self) -> Result<&ScheduledPre<Invocation>> {
        self.shared.scheduled.as_ref().context("the component has no export `handle-cron-event`")
    }
}

fn engine(counts_instructions: bool, manifest: &Manifest) -> Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INVOCATIONS_AT_ONCE)
        .total_stacks(INVOCATIONS_AT_ONCE)
        .total_memories(INVOCATIONS_AT_ONCE)
        // A component has its own table and those of the small modules that tie it to its imports.
        .total_core_instances(INVOCATIONS_AT_ONCE * 8)
        .total_tables(INVOCATIONS_AT_ONCE * 4)
        .max_memory_size(LARGEST_MEMORY)
        .linear_memory_keep_resident(RESIDENT_MEMORY)
        .pagemap_scan(Enabled::Auto)
        .table_keep_resident(KEPT_RESIDENT)
        .async_stack_keep_resident(KEPT_RESIDENT);
    let mut config = Config::new();
    // A stripped component has no names to show, so the way to a trap would only blur its reason.
    config.wasm_backtrace_max_frames(None);
    config.consume_fuel(counts_instructions);
    config.epoch_interruption(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config.cache(compiled_components(&manifest.source));
    Ok(Engine::new(&config)?)
}

/// Returns the cache of compiled components, a directory beside the component, as Python has `__pycache__`. Where the
/// directory cannot be written there is no cache, and every start compiles.
fn compiled_components(source: &Path) -> Option<Cache> {
    let directory = source.canonicalize().ok()?.parent()?.join(COMPILED_COMPONENTS);
    let mut config = CacheConfig::new();
    config.with_directory(directory);
    Cache::new(config).ok()
}

fn imported_functions(component: &Component) -> usize {
    let engine = component.engine();
    let functions = |item: ComponentItem| match item {
        ComponentItem::ComponentFunc(_) => 1,
        ComponentItem::ComponentInstance(interface) => {
            interface.exports(engine).filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_))).count()
        }
        _ => 0,
    };
    component.component_type().imports(engine).map(|(_, item)| functions(item.ty)).sum()
}

/// Ends a time slice again and again for as long as the engine lives.
fn keep_time(engine: &Engine) {
    let engine = engine.weak();
    std::thread::spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TIME_SLICE);
        }
    });
}

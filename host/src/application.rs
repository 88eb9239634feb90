//! A loaded application: the checked manifest and the compiled component. Every app that runs it shares it.
//!
//! Compilation takes seconds, so it happens once. This file must not know requests or stores, which belong to a running
//! app.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, Store as WasmStore, UpdateDeadline};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::bindings::ComponentPre as ScheduledPre;
use crate::invocation::{Invocation, linker};
use crate::manifest::Manifest;
use crate::pool::{INVOCATIONS_AT_ONCE, pool};
use crate::variables::ENVIRONMENT_PREFIX;

/// The directory beside the component that caches its machine code, so that only the first start compiles it.
const COMPILED_COMPONENTS: &str = ".compiled";

/// The time after which a computing guest yields the thread to other invocations.
const TIME_SLICE: Duration = Duration::from_millis(10);

/// A compiled application. Clones share it.
#[derive(Clone)]
pub struct Application {
    shared: Arc<Shared>,
}

struct Shared {
    manifest: Manifest,
    engine: Engine,
    /// Present if the manifest has an HTTP trigger.
    http: Option<ProxyPre<Invocation>>,
    /// Present if the component has the scheduled export.
    scheduled: Option<ScheduledPre<Invocation>>,
    slots: Arc<Semaphore>,
    imported_functions: usize,
}

impl Application {
    /// Loads a manifest and compiles its component, which takes seconds, and longer in a build without optimization.
    ///
    /// # Errors
    ///
    /// Fails like [`Manifest::load`], and when the component does not compile, has an import that this host does not
    /// offer, or lacks the export that a trigger of the manifest calls.
    pub fn load(manifest: impl AsRef<Path>) -> Result<Self> {
        Self::compile(Manifest::load(manifest)?)
    }

    /// Compiles the component of a manifest.
    ///
    /// # Errors
    ///
    /// Fails like [`Application::load`].
    pub fn compile(manifest: Manifest) -> Result<Self> {
        Self::compile_on(engine(false, &manifest)?, manifest)
    }

    /// Loads a manifest and compiles its component so that [`crate::App::instructions`] counts. Such a component runs
    /// slower.
    ///
    /// # Errors
    ///
    /// Fails like [`Application::load`].
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
        let slots = Arc::new(Semaphore::new(INVOCATIONS_AT_ONCE));
        Ok(Self { shared: Arc::new(Shared { manifest, engine, http, scheduled, slots, imported_functions }) })
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// Returns the number of host functions that the component imports. The host prepares each of them for each
    /// request, whether the request calls it or not.
    pub fn imported_functions(&self) -> usize {
        self.shared.imported_functions
    }

    /// Returns the names of environment variables that have the prefix of Spin's but set no variable of the manifest.
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

    /// Returns a new store of the engine, which holds the state of one guest.
    pub(crate) fn wasm_store(&self, invocation: Invocation) -> WasmStore<Invocation> {
        let mut store = WasmStore::new(&self.shared.engine, invocation);
        store.limiter(|invocation| &mut invocation.limits);
        // The guest yields at the end of each slice, so that a timeout around it fires even if the guest never waits.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        // This fails on an engine that does not count instructions.
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
    let mut config = Config::new();
    // A stripped component has no names to show, so a backtrace would only hide the reason of a trap.
    config.wasm_backtrace_max_frames(None);
    config.consume_fuel(counts_instructions);
    config.epoch_interruption(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    config.cache(compiled_components(&manifest.source));
    Ok(Engine::new(&config)?)
}

/// Returns the cache of compiled components, a directory beside the component like Python's `__pycache__`. If the
/// directory is not writable, there is no cache and every start compiles.
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

/// Ends a time slice at regular intervals for as long as the engine lives.
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

//! A loaded application: the checked manifest and the compiled components. Every app that runs it shares it.
//!
//! Compilation takes seconds, so it happens once. This file must not know requests or stores, which belong to a running
//! app.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, Store as WasmStore, UpdateDeadline};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::bindings::ComponentPre as ScheduledPre;
use crate::invocation::{Invocation, linker};
use crate::manifest::{Manifest, ManifestComponent, Source};
use crate::pool::{INVOCATIONS_AT_ONCE, pool};
use crate::slots::Slots;
use crate::variables::ENVIRONMENT_PREFIX;

/// The directory beside the first component that caches its machine code, so that only the first start compiles it.
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
    /// The components, in the order of the manifest.
    components: Vec<Compiled>,
    slots: Slots,
}

/// A compiled component.
struct Compiled {
    /// Present if the component has an HTTP export.
    http: Option<ProxyPre<Invocation>>,
    /// Present if the component has the scheduled export.
    scheduled: Option<ScheduledPre<Invocation>>,
    imported_functions: usize,
}

impl Application {
    /// Loads a manifest and compiles its components, which takes seconds, and longer in a build without optimization.
    ///
    /// # Errors
    ///
    /// Fails like [`Manifest::load`], and when a component does not compile, has an import that this host does not
    /// offer, or lacks the export that a trigger of the manifest calls.
    pub fn load(manifest: impl AsRef<Path>) -> Result<Self> {
        Self::compile(Manifest::load(manifest)?)
    }

    /// Compiles the components of a manifest. Their machine code is cached beside the first one.
    ///
    /// # Errors
    ///
    /// Fails like [`Application::load`].
    pub fn compile(manifest: Manifest) -> Result<Self> {
        Self::compile_on(&engine(false, beside_first(&manifest).as_deref())?, manifest)
    }

    /// Compiles the components of a manifest. Their machine code is cached in a directory if one is given. Anyone who can
    /// write there controls the code that this program runs.
    ///
    /// # Errors
    ///
    /// Fails like [`Application::load`].
    pub fn compile_with_cache(manifest: Manifest, cache: Option<&Path>) -> Result<Self> {
        Self::compile_on(&engine(false, cache)?, manifest)
    }

    /// Loads a manifest and compiles its components so that [`crate::App::instructions`] counts. Such components run
    /// slower.
    ///
    /// # Errors
    ///
    /// Fails like [`Application::load`].
    pub fn load_counting(manifest: impl AsRef<Path>) -> Result<Self> {
        let manifest = Manifest::load(manifest)?;
        Self::compile_on(&engine(true, beside_first(&manifest).as_deref())?, manifest)
    }

    fn compile_on(engine: &Engine, manifest: Manifest) -> Result<Self> {
        let linker = linker(engine)?;
        let components = std::thread::scope(|scope| {
            let linker = &linker;
            let compile = |component| scope.spawn(move || compile(engine, linker, component));
            let compiling: Vec<_> = manifest.components.iter().map(compile).collect();
            let join = |thread: ScopedJoinHandle<'_, Result<Compiled>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            compiling.into_iter().map(join).collect::<Result<Vec<_>>>()
        })?;
        for (place, (component, compiled)) in manifest.components.iter().zip(&components).enumerate() {
            let source = &component.source;
            ensure!(
                compiled.http.is_some() || !manifest.routes.lead_to(place),
                "{source} has no export for the HTTP trigger"
            );
            ensure!(
                compiled.scheduled.is_some() || manifest.cron.iter().all(|time| time.component != place),
                "{source} has no export `handle-cron-event` for the cron trigger"
            );
        }
        keep_time(engine);
        let slots = Slots::new(INVOCATIONS_AT_ONCE);
        Ok(Self { shared: Arc::new(Shared { manifest, engine: engine.clone(), components, slots }) })
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// Returns the number of host functions that a component imports, or `None` if there is no such component. The host
    /// prepares each of them for each request, whether the request calls it or not.
    pub fn imported_functions(&self, component: &str) -> Option<usize> {
        let place = self.shared.manifest.place_of(component)?;
        Some(self.shared.components[place].imported_functions)
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

    /// Returns the slots of the pool, which all apps of this application share.
    pub(crate) fn slots(&self) -> &Slots {
        &self.shared.slots
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

    pub(crate) fn http(&self, component: usize) -> Result<&ProxyPre<Invocation>> {
        self.shared.components[component].http.as_ref().context("the component has no HTTP export")
    }

    pub(crate) fn scheduled(&self, component: usize) -> Result<&ScheduledPre<Invocation>> {
        let scheduled = self.shared.components[component].scheduled.as_ref();
        scheduled.context("the component has no export `handle-cron-event`")
    }
}

fn compile(engine: &Engine, linker: &Linker<Invocation>, component: &ManifestComponent) -> Result<Compiled> {
    let source = &component.source;
    let component = match source {
        Source::File(path) => Component::from_file(engine, path),
        Source::Embedded(bytes) => Component::from_binary(engine, bytes),
    };
    let component = component.map_err(anyhow::Error::from).with_context(|| format!("cannot compile {source}"))?;
    let imported_functions = imported_functions(&component);
    let component = linker
        .instantiate_pre(&component)
        .map_err(anyhow::Error::from)
        .with_context(|| format!("{source} imports what this host does not offer"))?;
    let http = ProxyPre::new(component.clone()).ok();
    Ok(Compiled { http, scheduled: ScheduledPre::new(component).ok(), imported_functions })
}

fn engine(counts_instructions: bool, cache: Option<&Path>) -> Result<Engine> {
    let mut config = Config::new();
    // A stripped component has no names to show, so a backtrace would only hide the reason of a trap.
    config.wasm_backtrace_max_frames(None);
    config.consume_fuel(counts_instructions);
    config.epoch_interruption(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    config.cache(cache.and_then(compiled_components));
    Ok(Engine::new(&config)?)
}

/// Returns the directory for the cache that lies beside the first component, like Python's `__pycache__`.
fn beside_first(manifest: &Manifest) -> Option<PathBuf> {
    let Source::File(path) = &manifest.components.first()?.source else { return None };
    Some(path.canonicalize().ok()?.parent()?.join(COMPILED_COMPONENTS))
}

/// Returns the cache of compiled components in a directory. If it is not writable, there is no cache and every start
/// compiles.
fn compiled_components(directory: &Path) -> Option<Cache> {
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

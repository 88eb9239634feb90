//! A running app: an application with its own store, variables, and clock. It is called in process or by the server.
//!
//! Every request and every scheduled event gets a fresh instance of its component, as in Spin. The app must not know
//! the meaning of a request. It starts invocations, and it survives every way in which one can end.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wasmtime::StoreLimitsBuilder;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme as WasiScheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error as HttpError, WasiHttpCtx, WasiHttpView};

use crate::application::Application;
use crate::bindings::{Error as EventError, Metadata};
use crate::body::CutShort;
use crate::clock::Clock;
use crate::invocation::Invocation;
use crate::key_value::host::KeyValue;
use crate::key_value::store::Store;
use crate::limits::ClientTimeouts;
use crate::manifest::{Manifest, ManifestComponent};
use crate::options::{Options, RequestLog};
use crate::outbound::{AllowedHosts, Outbound, SENT_AT_ONCE};
use crate::output::Output;
use crate::pool::{INVOCATIONS_AT_ONCE, LARGEST_MEMORY};
use crate::routes::RouteMatch;
use crate::slots::{Cause, Slots, acquire};
use crate::target::{add_spin_headers, set_full_uri};
use crate::variables::{ComponentVariables, Values, from_environment};

/// One of this number of instances may work on requests whose bodies are not whole.
const SHARE_OF_LARGE_BODIES: usize = 16;

/// A running app. Clones are the same app.
#[derive(Clone)]
pub struct App {
    shared: Arc<Shared>,
}

struct Shared {
    application: Application,
    /// The components, in the order of the manifest.
    components: Vec<Component>,
    store: Arc<dyn Store>,
    clock: Clock,
    output: Output,
    deadline: Duration,
    slots: Slots,
    /// The places of requests whose bodies were not whole when they were passed on.
    large_bodies: Arc<Semaphore>,
    /// The permits of requests that leave the app.
    outbound_permits: Arc<Semaphore>,
    longest_wait: Duration,
    memory_limit: usize,
    fires_schedule: bool,
    client_timeouts: ClientTimeouts,
    connections: usize,
    request_log: Option<RequestLog>,
    traps: AtomicU64,
    instructions: AtomicU64,
}

/// The things that the guests of one component share, and that those of others do not.
struct Component {
    store_labels: Arc<BTreeSet<String>>,
    variables: Arc<ComponentVariables>,
    allowed_hosts: Arc<AllowedHosts>,
}

/// A guest's answer, and the guest, which may continue after it has answered.
pub(crate) struct Answer {
    pub(crate) response: Response<HyperOutgoingBody>,
    guest: Option<JoinHandle<Ended>>,
}

/// The value that the guest passes to `response-outparam`.
type GuestAnswer = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// The way in which a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    ByItself,
    /// It trapped, ran out of time, or was ended by the store. This has been logged and counted.
    CutShort,
}

impl App {
    /// Creates an app with the store, variables, and clock of `options`, which it shares with no other app.
    ///
    /// # Errors
    ///
    /// Fails when a required variable has no value, an option names an unknown variable, an allowed outbound host is
    /// malformed once its variables have values, the memory limit is above [`LARGEST_MEMORY`], or the number of
    /// invocations is 0 or above [`INVOCATIONS_AT_ONCE`].
    pub fn new(application: &Application, options: Options) -> Result<Self> {
        let invocations = options.invocations_at_once;
        ensure!(
            (1..=INVOCATIONS_AT_ONCE).contains(&invocations),
            "{invocations} invocations at once are not between 1 and {INVOCATIONS_AT_ONCE}"
        );
        ensure!(
            options.memory_limit <= LARGEST_MEMORY,
            "the memory limit {} is above {LARGEST_MEMORY}",
            options.memory_limit
        );
        let manifest = application.manifest();
        let environment = |name: &str| if options.environment_variables { from_environment(name) } else { Ok(None) };
        let values = Values::choose(&manifest.variables, &options.variables, environment)?;
        let ids: Vec<&str> = manifest.components.iter().map(|component| component.id.as_str()).collect();
        let component = |component| Component::new(component, &values, &ids);
        let components = manifest.components.iter().map(component).collect::<Result<_>>()?;
        Ok(Self {
            shared: Arc::new(Shared {
                application: application.clone(),
                components,
                store: options.store,
                clock: options.clock,
                output: options.output,
                deadline: options.deadline,
                slots: Slots::new(invocations),
                large_bodies: Arc::new(Semaphore::new(invocations.div_ceil(SHARE_OF_LARGE_BODIES))),
                outbound_permits: Arc::new(Semaphore::new(SENT_AT_ONCE)),
                longest_wait: options.longest_wait,
                memory_limit: options.memory_limit,
                fires_schedule: options.fires_schedule,
                client_timeouts: options.client_timeouts,
                connections: options.connections,
                request_log: options.request_log,
                traps: AtomicU64::new(0),
                instructions: AtomicU64::new(0),
            }),
        })
    }

    /// Returns the application that runs.
    pub fn application(&self) -> &Application {
        &self.shared.application
    }

    /// Returns the wall clock that the guest sees.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Returns the destination of the log.
    pub fn output(&self) -> &Output {
        &self.shared.output
    }

    /// Returns the number of invocations that were cut short: the guest trapped, ran out of time or memory, returned
    /// without an answer, or was ended by the store. A test that expects none asserts zero.
    pub fn traps(&self) -> u64 {
        self.shared.traps.load(Ordering::SeqCst)
    }

    /// Returns the number of WebAssembly instructions of all invocations that have ended. It is zero unless the
    /// application was loaded with [`Application::load_counting`].
    pub fn instructions(&self) -> u64 {
        self.shared.instructions.load(Ordering::SeqCst)
    }

    fn manifest(&self) -> &Manifest {
        self.shared.application.manifest()
    }

    pub(crate) fn fires_schedule(&self) -> bool {
        self.shared.fires_schedule
    }

    pub(crate) fn client_timeouts(&self) -> ClientTimeouts {
        self.shared.client_timeouts
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections
    }

    pub(crate) fn request_log(&self) -> Option<&RequestLog> {
        self.shared.request_log.as_ref()
    }

    /// Handles one request without a port. Waits for the guest to end, so that the work that it does after its answer
    /// is done too. A request without a host goes to `localhost`.
    ///
    /// A guest that does not answer becomes an empty 500, as a client of Spin sees it. [`App::traps`] tells it apart
    /// from a 500 that the component sent.
    ///
    /// # Errors
    ///
    /// Fails when the answer's body breaks off, or when the request's Host header and URI are invalid.
    pub async fn handle(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>> {
        let length = request.body().len();
        if length > 0 && !request.headers().contains_key(header::CONTENT_LENGTH) {
            // Every HTTP client does this.
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        self.handle_body(request.map(Full::new)).await
    }

    /// Handles one request like [`App::handle`], but the body fails after its last byte, as on Spin when a client leaves
    /// before it has sent all. The guest reads from a stream that fails.
    ///
    /// # Errors
    ///
    /// Fails like [`App::handle`].
    pub async fn handle_cut_short(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        self.handle_body(request.map(CutShort::new)).await
    }

    async fn handle_body<B>(&self, mut request: Request<B>) -> Result<Response<Bytes>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<HttpError>,
    {
        if request.uri().host().is_none() && !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
        }
        set_full_uri(&mut request)?;
        let answer = self.respond(request, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ()).await;
        let (parts, body) = answer.response.into_parts();
        let body = body.collect().await;
        if let Some(guest) = answer.guest {
            guest.await.context("the host panicked while it ran the guest")?;
        }
        let body = body.context("the answer's body broke off")?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }

    /// Calls the scheduled export of each component that has a cron trigger, one after another, as the triggers do at
    /// `timestamp`, in seconds since 1970. This does not change the clock.
    ///
    /// # Errors
    ///
    /// Fails with the guest's message when a guest returns an error, when it is cut short, which counts as a trap, when
    /// no instance is free for too long, and when there is no cron trigger.
    pub async fn tick(&self, timestamp: u64) -> Result<()> {
        let components: BTreeSet<usize> = self.manifest().cron.iter().map(|time| time.component).collect();
        ensure!(!components.is_empty(), "the manifest has no cron trigger");
        for component in components {
            self.fire(component, timestamp).await?;
        }
        Ok(())
    }

    /// Calls the scheduled export of one component.
    ///
    /// # Errors
    ///
    /// Fails like [`App::tick`].
    pub(crate) async fn fire(&self, component: usize, timestamp: u64) -> Result<()> {
        let scheduled = self.shared.application.scheduled(component)?;
        let slot = self.slot(Cause::Outside).await;
        let _slot = slot.with_context(|| format!("no instance was free for {:?}", self.shared.longest_wait))?;
        let mut store = self.shared.application.wasm_store(self.invocation(component));
        let deadline = self.shared.deadline;
        let run = async {
            let guest = scheduled.instantiate_async(&mut store).await?;
            guest.call_handle_cron_event(&mut store, Metadata { timestamp }).await
        };
        let ended = timeout(deadline, run).await;
        self.count_instructions(&store);
        let answer = match ended {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.count_trap();
                return Err(anyhow::Error::from(error).context("the guest was cut short"));
            }
            Err(_) => {
                self.count_trap();
                bail!("the guest was cut short: it took longer than {deadline:?}")
            }
        };
        answer.map_err(|EventError::Other(text)| anyhow!(text))
    }

    /// Passes a request with a full URI to a fresh instance of the component that its path leads to, and waits for the
    /// head of the answer. It is an empty 404 if there is no such component, an empty 500 if the guest sends none, and a
    /// 503 if no instance is free for too long. `kept` is dropped when the guest has ended. The guest may outlive this
    /// future, for example when the client is gone.
    pub(crate) async fn respond<B>(&self, request: Request<B>, client: SocketAddr, kept: impl Send + 'static) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<HttpError>,
    {
        let Some(route) = self.manifest().routes.matching(request.uri().path()) else {
            return Answer { response: empty(StatusCode::NOT_FOUND), guest: None };
        };
        self.respond_by(request, route, client, Cause::Outside, kept).await
    }

    /// Returns the component that another component names by its id. As in Spin, it needs an HTTP trigger.
    pub(crate) fn chained(&self, id: &str) -> Option<usize> {
        self.manifest().place_of(id).filter(|component| self.manifest().routes.lead_to(*component))
    }

    /// Passes a request of another component with a full URI to a fresh instance, and answers like [`App::respond`].
    pub(crate) async fn respond_to_component<B>(
        &self,
        request: Request<B>,
        component: usize,
        client: SocketAddr,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<HttpError>,
    {
        let route = RouteMatch::chained(component, request.uri().path());
        self.respond_by(request, route, client, Cause::Chained, ()).await
    }

    async fn respond_by<B>(
        &self,
        mut request: Request<B>,
        route: RouteMatch<'_>,
        client: SocketAddr,
        cause: Cause,
        kept: impl Send + 'static,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<HttpError>,
    {
        let Some(slot) = self.slot(cause).await else {
            return Answer { response: service_unavailable(), guest: None };
        };
        let what = format!("{} {}", request.method(), request.uri().path());
        let component = route.component;
        let started = add_spin_headers(&mut request, route, client)
            .and_then(|()| self.start(request, component, &what, (slot, kept)));
        let (answer, guest) = match started {
            Ok(started) => started,
            Err(error) => {
                self.output().report(&format!("{what}: {error:#}"));
                return Answer { response: internal_server_error(), guest: None };
            }
        };
        match answer.await {
            Ok(Ok(response)) => return Answer { response, guest: Some(guest) },
            Ok(Err(code)) => {
                self.output().report(&format!("{what}: the guest answered with an error: {code:?}"));
                return Answer { response: internal_server_error(), guest: Some(guest) };
            }
            Err(_) => {}
        }
        // The sender was dropped without an answer, so the guest has ended.
        let why = match guest.await {
            Ok(Ended::CutShort) => None,
            Ok(Ended::ByItself) => Some("the guest ended without an answer".to_owned()),
            Err(panic) => Some(format!("the host panicked while it ran the guest: {panic}")),
        };
        if let Some(why) = why {
            self.count_trap();
            self.output().report(&format!("{what}: {why}"));
        }
        Answer { response: internal_server_error(), guest: None }
    }

    /// Waits until another invocation may run. Returns `None` if that takes too long.
    async fn slot(&self, cause: Cause) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let own = self.shared.slots.acquire(cause);
        let slot = async { (own.await, self.shared.application.slots().acquire(cause).await) };
        timeout(self.shared.longest_wait, slot).await.ok()
    }

    /// Waits until another request may run whose body is not whole. Returns `None` if that takes too long.
    ///
    /// Such a request occupies an instance for as long as its client likes to send, so only a part of the instances is
    /// open to them.
    pub(crate) async fn place_for_large_body(&self) -> Option<OwnedSemaphorePermit> {
        timeout(self.shared.longest_wait, acquire(&self.shared.large_bodies)).await.ok()
    }

    /// Starts a guest in a task of its own, because it may continue after its answer, and it writes the answer's body
    /// while the client reads it. As in Spin, it also continues when the client has left.
    fn start<B>(
        &self,
        request: Request<B>,
        component: usize,
        what: &str,
        kept: impl Send + 'static,
    ) -> Result<(oneshot::Receiver<GuestAnswer>, JoinHandle<Ended>)>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<HttpError>,
    {
        let handler = self.shared.application.http(component)?.clone();
        let mut store = self.shared.application.wasm_store(self.invocation(component));
        let request = store.data_mut().http().new_incoming_request(WasiScheme::Http, request)?;
        let (sender, answer) = oneshot::channel();
        let sender = store.data_mut().http().new_response_outparam(sender)?;

        let app = self.clone();
        let what = what.to_owned();
        let guest = tokio::spawn(async move {
            let deadline = app.shared.deadline;
            let run = async {
                let guest = handler.instantiate_async(&mut store).await?;
                guest.wasi_http_incoming_handler().call_handle(&mut store, request, sender).await
            };
            let ended = timeout(deadline, run).await;
            app.count_instructions(&store);
            let why = match ended {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{:#}", anyhow::Error::from(error))),
                Err(_) => Some(format!("it took longer than {deadline:?}")),
            };
            let ended = match why {
                None => Ended::ByItself,
                Some(why) => {
                    app.count_trap();
                    app.output().report(&format!("{what}: the guest was cut short: {why}"));
                    Ended::CutShort
                }
            };
            // The guest's memory must return to the pool before the next guest may start. `kept` has the slot.
            drop(store);
            drop(kept);
            ended
        });
        Ok((answer, guest))
    }

    fn invocation(&self, component: usize) -> Invocation {
        let shared = &self.shared;
        let component = &shared.components[component];
        let wasi = WasiCtx::builder()
            .stdout(shared.output.clone())
            .stderr(shared.output.clone())
            .wall_clock(shared.clock.clone())
            .build();
        Invocation {
            wasi,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            outbound: Outbound::new(self.clone(), component.allowed_hosts.clone(), shared.outbound_permits.clone()),
            key_value: KeyValue::new(shared.store.clone(), component.store_labels.clone()),
            variables: component.variables.clone(),
            limits: StoreLimitsBuilder::new().memory_size(shared.memory_limit).build(),
        }
    }

    fn count_instructions(&self, store: &wasmtime::Store<Invocation>) {
        let taken = store.get_fuel().map_or(0, |left| u64::MAX - left);
        self.shared.instructions.fetch_add(taken, Ordering::SeqCst);
    }

    fn count_trap(&self) {
        self.shared.traps.fetch_add(1, Ordering::SeqCst);
    }
}

impl Component {
    fn new(component: &ManifestComponent, values: &Values, ids: &[&str]) -> Result<Self> {
        let variables = ComponentVariables::resolve(&component.id, &component.variables, values)?;
        let hosts = component.allowed_outbound_hosts.iter().map(|template| template.resolve(values));
        let hosts = hosts.collect::<Result<Vec<_>>>()?;
        let allowed_hosts = AllowedHosts::parse(hosts.iter().map(String::as_str))?.for_components(ids);
        Ok(Self {
            store_labels: Arc::new(component.key_value_stores.clone()),
            variables: Arc::new(variables),
            allowed_hosts: Arc::new(allowed_hosts),
        })
    }
}

fn internal_server_error() -> Response<HyperOutgoingBody> {
    empty(StatusCode::INTERNAL_SERVER_ERROR)
}

fn empty(status: StatusCode) -> Response<HyperOutgoingBody> {
    let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(empty);
    *response.status_mut() = status;
    response
}

/// Returns the answer to a request that has waited too long for an instance. It writes no line to the log, because the
/// number of lines would be the clients' choice.
pub(crate) fn service_unavailable() -> Response<HyperOutgoingBody> {
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, "the service is busy");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Returns an answer of the host itself, in plain text.
pub(crate) fn refusal(status: StatusCode, why: &str) -> Response<HyperOutgoingBody> {
    let text = Full::new(Bytes::from(format!("{why}\n")));
    let mut response = Response::new(text.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

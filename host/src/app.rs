//! A running app: an application with its own store, variables, and clock. It is called in process or by the server.
//!
//! Every request and every scheduled event gets a fresh instance of the component, as in Spin. The app must not know
//! the meaning of a request. It starts invocations, and it survives every way in which one can end.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Body;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wasmtime::StoreLimitsBuilder;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme as WasiScheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error as HttpError, WasiHttpCtx, WasiHttpView};

use crate::application::{Application, LARGEST_MEMORY};
use crate::bindings::{Error as EventError, Metadata};
use crate::clock::Clock;
use crate::invocation::Invocation;
use crate::key_value::host::KeyValue;
use crate::key_value::memory::MemoryStore;
use crate::key_value::store::Store;
use crate::manifest::ROUTE;
use crate::outbound::{AllowedHosts, Outbound};
use crate::output::Output;
use crate::variables::{ComponentVariables, Values, from_environment};

/// The differences between two apps of the same application.
pub struct Options {
    /// The store of the data. By default an empty store in memory.
    pub store: Arc<dyn Store>,
    /// Values of application variables. They take precedence over the environment.
    pub variables: HashMap<String, String>,
    /// Whether `SPIN_VARIABLE_` environment variables set application variables. By default they do not, so that a
    /// developer's environment does not change a test.
    pub environment_variables: bool,
    /// The wall clock that a guest sees. By default the machine's.
    pub clock: Clock,
    /// The destination of a guest's standard output and standard error. By default this program's standard error.
    pub output: Output,
    /// The time after which an invocation is ended, waiting included. By default a minute.
    pub deadline: Duration,
    /// The limit of a guest's memory, in bytes. By default [`LARGEST_MEMORY`].
    pub memory_limit: usize,
    /// Whether [`App::serve`] fires the manifest's cron triggers. By default it does.
    pub fires_schedule: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            variables: HashMap::new(),
            environment_variables: false,
            clock: Clock::system(),
            output: Output::standard_error(),
            deadline: Duration::from_secs(60),
            memory_limit: LARGEST_MEMORY,
            fires_schedule: true,
        }
    }
}

impl Options {
    /// Sets one application variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// A running app. Clones are the same app.
#[derive(Clone)]
pub struct App {
    shared: Arc<Shared>,
}

struct Shared {
    application: Application,
    store: Arc<dyn Store>,
    store_labels: Arc<BTreeSet<String>>,
    variables: Arc<ComponentVariables>,
    outbound: Outbound,
    clock: Clock,
    output: Output,
    deadline: Duration,
    memory_limit: usize,
    fires_schedule: bool,
    traps: AtomicU64,
    instructions: AtomicU64,
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
    /// malformed once its variables have values, or the memory limit is above [`LARGEST_MEMORY`].
    pub fn new(application: &Application, options: Options) -> Result<Self> {
        ensure!(
            options.memory_limit <= LARGEST_MEMORY,
            "the memory limit {} is above {LARGEST_MEMORY}",
            options.memory_limit
        );
        let manifest = application.manifest();
        let environment = |name: &str| if options.environment_variables { from_environment(name) } else { Ok(None) };
        let values = Values::choose(&manifest.variables, &options.variables, environment)?;
        let variables = ComponentVariables::resolve(&manifest.component, &manifest.component_variables, &values)?;
        let hosts = manifest
            .allowed_outbound_hosts
            .iter()
            .map(|template| template.resolve(&values))
            .collect::<Result<Vec<_>>>()?;
        let allowed = AllowedHosts::parse(hosts.iter().map(String::as_str))?;
        let store_labels = Arc::new(manifest.key_value_stores.clone());
        Ok(Self {
            shared: Arc::new(Shared {
                application: application.clone(),
                store: options.store,
                store_labels,
                variables: Arc::new(variables),
                outbound: Outbound::new(Arc::new(allowed)),
                clock: options.clock,
                output: options.output,
                deadline: options.deadline,
                memory_limit: options.memory_limit,
                fires_schedule: options.fires_schedule,
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

    /// Returns the destination of the guest's output.
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

    pub(crate) fn fires_schedule(&self) -> bool {
        self.shared.fires_schedule
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
    pub async fn handle(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let (mut parts, body) = request.into_parts();
        if parts.uri.host().is_none() && !parts.headers.contains_key(header::HOST) {
            parts.headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        }
        if !body.is_empty() && !parts.headers.contains_key(header::CONTENT_LENGTH) {
            // Every HTTP client does this.
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let answer = self.respond(Request::from_parts(parts, Full::new(body)), client, ()).await?;
        let (parts, body) = answer.response.into_parts();
        let body = body.collect().await;
        if let Some(guest) = answer.guest {
            guest.await.context("the host panicked while it ran the guest")?;
        }
        let body = body.context("the answer's body broke off")?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }

    /// Calls the component's scheduled export, as the cron trigger does at `timestamp`, in seconds since 1970. This
    /// does not change the clock.
    ///
    /// # Errors
    ///
    /// Fails with the guest's message when the guest returns an error, when it is cut short, which counts as a trap,
    /// and when the component has no such export.
    pub async fn tick(&self, timestamp: u64) -> Result<()> {
        let component = self.shared.application.scheduled()?;
        let _slot = self.shared.application.slot().await;
        let mut store = self.shared.application.wasm_store(self.invocation());
        let deadline = self.shared.deadline;
        let run = async {
            let guest = component.instantiate_async(&mut store).await?;
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

    /// Passes a request to a fresh instance and waits for the head of the answer, which is an empty 500 if the guest
    /// sends none. `kept` is dropped when the guest has ended. The guest may outlive this future, for example when the
    /// client is gone.
    ///
    /// # Errors
    ///
    /// Fails when the request does not say which host it is for. However the guest ends, there is an answer.
    pub(crate) async fn respond<B>(
        &self,
        mut request: Request<B>,
        client: SocketAddr,
        kept: impl Send + 'static,
    ) -> Result<Answer>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<HttpError>,
    {
        set_full_uri(&mut request)?;
        let what = format!("{} {}", request.method(), request.uri().path());
        let (answer, guest) = match self.start(request, client, &what, kept).await {
            Ok(started) => started,
            Err(error) => {
                eprintln!("{what}: {error:#}");
                return Ok(Answer { response: internal_server_error(), guest: None });
            }
        };
        match answer.await {
            Ok(Ok(response)) => return Ok(Answer { response, guest: Some(guest) }),
            Ok(Err(code)) => {
                eprintln!("{what}: the guest answered with an error: {code:?}");
                return Ok(Answer { response: internal_server_error(), guest: Some(guest) });
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
            eprintln!("{what}: {why}");
        }
        Ok(Answer { response: internal_server_error(), guest: None })
    }

    /// Starts a guest in a task of its own, because it may continue after its answer, and it writes the answer's body
    /// while the client reads it. As in Spin, it also continues when the client has left.
    async fn start<B>(
        &self,
        mut request: Request<B>,
        client: SocketAddr,
        what: &str,
        kept: impl Send + 'static,
    ) -> Result<(oneshot::Receiver<GuestAnswer>, JoinHandle<Ended>)>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<HttpError>,
    {
        add_spin_headers(&mut request, client)?;
        let component = self.shared.application.http()?.clone();
        let slot = self.shared.application.slot().await;
        let mut store = self.shared.application.wasm_store(self.invocation());
        let request = store.data_mut().http().new_incoming_request(WasiScheme::Http, request)?;
        let (sender, answer) = oneshot::channel();
        let sender = store.data_mut().http().new_response_outparam(sender)?;

        let app = self.clone();
        let what = what.to_owned();
        let guest = tokio::spawn(async move {
            let deadline = app.shared.deadline;
            let run = async {
                let guest = component.instantiate_async(&mut store).await?;
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
                    eprintln!("{what}: the guest was cut short: {why}");
                    Ended::CutShort
                }
            };
            // The guest's memory must return to the pool before the next guest may start.
            drop(store);
            drop(slot);
            drop(kept);
            ended
        });
        Ok((answer, guest))
    }

    fn invocation(&self) -> Invocation {
        let shared = &self.shared;
        let wasi = WasiCtx::builder()
            .stdout(shared.output.clone())
            .stderr(shared.output.clone())
            .wall_clock(shared.clock.clone())
            .build();
        Invocation {
            wasi,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            outbound: shared.outbound.clone(),
            key_value: KeyValue::new(shared.store.clone(), shared.store_labels.clone()),
            variables: shared.variables.clone(),
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

fn internal_server_error() -> Response<HyperOutgoingBody> {
    let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(empty);
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// Adds the scheme and the authority of the Host header to the request's URI, as Spin does.
fn set_full_uri<B>(request: &mut Request<B>) -> Result<()> {
    let named = match request.headers().get(header::HOST) {
        Some(host) => {
            let host = host.to_str().context("the Host header is not ASCII")?;
            Some(host.parse::<Authority>().context("the Host header is no authority")?)
        }
        None => None,
    };
    let mut parts = request.uri().clone().into_parts();
    let authority = match (named, parts.authority) {
        (Some(named), Some(in_uri)) => {
            ensure!(named == in_uri, "the Host header and the request's URI name different hosts");
            named
        }
        (Some(authority), None) | (None, Some(authority)) => authority,
        (None, None) => bail!("the request names no host"),
    };
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    *request.uri_mut() = Uri::from_parts(parts).context("the request's target is no path")?;
    Ok(())
}

/// Adds the headers that Spin adds for the route `/...`. Headers of the same names from the client stay in front of
/// them.
///
/// # Errors
///
/// Fails when a header is not UTF-8. Spin answers that with an empty 500 before it starts the guest.
fn add_spin_headers<B>(request: &mut Request<B>, client: SocketAddr) -> Result<()> {
    for (name, value) in request.headers() {
        std::str::from_utf8(value.as_bytes()).with_context(|| format!("the header {name} is not UTF-8"))?;
    }
    let uri = request.uri();
    let headers = [
        ("spin-path-info", uri.path().to_owned()),
        ("spin-full-url", uri.to_string()),
        ("spin-matched-route", ROUTE.to_owned()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", ROUTE.to_owned()),
        ("spin-component-route", String::new()),
        ("spin-client-addr", client.to_string()),
    ];
    for (name, value) in headers {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::try_from(value)?);
    }
    Ok(())
}

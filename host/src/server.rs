//! Serves an app on a socket with HTTP/1.1, and fires its scheduled event.
//!
//! It must not know the meaning of a request. No behaviour of a client may stop the server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::app::{App, refusal, service_unavailable};
use crate::body::HeldBody;
use crate::connections::{Client, Connection, Connections};
use crate::cron;
use crate::limits::connections_by_files;
use crate::options::LoggedRequest;
use crate::target::set_full_uri;

/// The time that running requests and events have to end at a shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// The pause after a failure to accept a connection, for example when no file descriptors are left.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// The header of an answer that names the request in the logs of servers and clients.
const REQUEST_ID: &str = "x-openstack-request-id";

/// The size of the buffers of a connection, in bytes. It bounds the head of a request, whose target alone may have 64
/// KiB.
const BUFFER: usize = 128 << 10;

impl App {
    /// Serves requests until `shutdown` completes, and fires the manifest's cron triggers unless the options forbid it.
    /// Then it accepts no more connections, and running requests and events have five seconds to end.
    ///
    /// # Errors
    ///
    /// Fails when the listener has no address.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<()> {
        listener.local_addr()?;
        // Each running request and event holds a sender. The receiver ends when the last one is gone.
        let (running, mut all_ended) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let times = if self.fires_schedule() { self.application().manifest().cron.clone() } else { Vec::new() };
        let cron = tokio::spawn(cron::run(self.clone(), times, running.clone()));
        let connections = Connections::new(self.connections().min(connections_by_files()));
        let sweep = tokio::spawn({
            let connections = connections.clone();
            async move { connections.sweep().await }
        });

        let accept = async {
            loop {
                match listener.accept().await {
                    Ok((stream, address)) => {
                        let connection = connections.place(self.client_timeouts().head).await;
                        let serve = Serve { app: self.clone(), address, running: running.clone() };
                        tokio::spawn(serve.connection(stream, connection, stopped.clone()));
                    }
                    Err(error) => {
                        self.output().report(&format!("cannot accept a connection: {error}"));
                        tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                    }
                }
            }
        };
        tokio::select! {
            () = shutdown => {}
            () = accept => {}
        }
        drop(listener);
        sweep.abort();
        cron.abort();
        // Wait until the aborted task is gone, because it holds a sender.
        let _ = cron.await;
        stop.send_replace(true);
        drop(running);
        if timeout(GRACE, all_ended.recv()).await.is_err() {
            self.output().report(&format!("some requests did not end within {GRACE:?} and are given up"));
        }
        Ok(())
    }
}

/// Everything that the requests of one connection need.
#[derive(Clone)]
struct Serve {
    app: App,
    address: SocketAddr,
    running: mpsc::UnboundedSender<()>,
}

impl Serve {
    async fn connection(self, stream: TcpStream, place: Connection, mut stopped: watch::Receiver<bool>) {
        // The head and the body of an answer are two small segments. Without this, the second waits 40 ms for an
        // acknowledgement. It only fails on a connection that is already gone.
        let _ = stream.set_nodelay(true);
        let client = place.client();
        // A guest continues when its client, and with it this connection, is gone.
        let service = service_fn(move |request| {
            let (serve, client) = (self.clone(), client.clone());
            async move {
                client.wait(serve.app.client_timeouts().body);
                let answer = serve.answer_and_log(request, &client).await;
                client.wait(serve.app.client_timeouts().idle);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            // A client may end its side after its last request and still read the answer.
            .half_close(true)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            // A client that disconnects is not worth a line in the log.
            _ = &mut connection => {}
            () = place.closing() => {}
            // This changes once, when the server stops.
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    _ = connection => {}
                    () = place.closing() => {}
                }
            }
        }
    }

    async fn answer_and_log(&self, request: Request<Incoming>, client: &Client) -> Response<HyperOutgoingBody> {
        let Some(log) = self.app.request_log() else { return self.answer(request, client).await };
        let (method, path, began) = (request.method().clone(), request.uri().path().to_owned(), Instant::now());
        let answer = self.answer(request, client).await;
        log(&LoggedRequest {
            method: method.as_str(),
            path: &path,
            status: answer.status().as_u16(),
            duration: began.elapsed(),
            id: answer.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()),
        });
        answer
    }

    async fn answer(&self, mut request: Request<Incoming>, client: &Client) -> Response<HyperOutgoingBody> {
        if let Err(error) = set_full_uri(&mut request) {
            // Spin closes the connection without an answer here.
            return refusal(StatusCode::BAD_REQUEST, &format!("{error:#}"));
        }
        let (parts, body) = request.into_parts();
        let Ok(body) = HeldBody::read(body).await else {
            let mut answer = refusal(StatusCode::BAD_REQUEST, "the body of the request is not complete");
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return answer;
        };
        if !client.work() {
            return service_unavailable();
        }
        let place = if body.is_whole() {
            None
        } else {
            let Some(place) = self.app.place_for_large_body().await else { return service_unavailable() };
            Some(place)
        };
        let kept = (self.running.clone(), place);
        self.app.respond(Request::from_parts(parts, body), self.address, kept).await.response
    }
}

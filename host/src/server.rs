//! Serves an app on a socket with HTTP/1.1, and fires its scheduled event.
//!
//! It must not know the meaning of a request. No behaviour of a client may stop the server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::app::App;
use crate::cron;

/// The time that running requests and events have to end at a shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// The pause after a failure to accept a connection, for example when no file descriptors are left.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

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
        let schedules =
            if self.fires_schedule() { self.application().manifest().schedules.clone() } else { Vec::new() };
        let cron = tokio::spawn(cron::run(self.clone(), schedules, running.clone()));

        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, client)) => {
                        tokio::spawn(serve_connection(self.clone(), stream, client, stopped.clone(), running.clone()));
                    }
                    Err(error) => {
                        eprintln!("cannot accept a connection: {error}");
                        tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                    }
                },
            }
        }
        drop(listener);
        cron.abort();
        // Wait until the aborted task is gone, because it holds a sender.
        let _ = cron.await;
        stop.send_replace(true);
        drop(running);
        if timeout(GRACE, all_ended.recv()).await.is_err() {
            eprintln!("some requests did not end within {GRACE:?} and are given up");
        }
        Ok(())
    }
}

async fn serve_connection(
    app: App,
    stream: TcpStream,
    client: SocketAddr,
    mut stopped: watch::Receiver<bool>,
    running: mpsc::UnboundedSender<()>,
) {
    // The head and the body of an answer are two small segments. Without this, the second waits 40 ms for an
    // acknowledgement. It only fails on a connection that is already gone.
    let _ = stream.set_nodelay(true);
    // A guest continues when its client, and with it this connection, is gone.
    let service = service_fn(move |request| {
        let (app, running) = (app.clone(), running.clone());
        async move { Ok::<_, Infallible>(answer(&app, request, client, running).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // A client that disconnects is not worth a line in the log.
        _ = &mut connection => {}
        // This changes once, when the server stops.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn answer(
    app: &App,
    request: Request<Incoming>,
    client: SocketAddr,
    running: mpsc::UnboundedSender<()>,
) -> Response<HyperOutgoingBody> {
    match app.respond(request, client, running).await {
        Ok(answer) => answer.response,
        Err(error) => {
            // Spin closes the connection without an answer here.
            let text = Full::new(Bytes::from(format!("{error:#}\n")));
            let mut response = Response::new(text.map_err(|never| match never {}).boxed_unsync());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}

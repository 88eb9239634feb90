//! The life of an app in a program: whether it works at all, and serving until a signal stops it.
//!
//! It must not know the command line. Both programs that serve an app use it.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::Request;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;

impl App {
    /// Asks the app for a path, to find out whether it works with its variables. If it does not, its log has the reason.
    ///
    /// # Errors
    ///
    /// Fails unless the answer is a 2xx.
    pub async fn probe(&self, path: &str) -> Result<()> {
        let request = Request::get(format!("http://localhost{path}")).body(Bytes::new())?;
        let answer = self.handle(request).await?;
        let (status, body) = (answer.status(), String::from_utf8_lossy(answer.body()));
        ensure!(status.is_success(), "the app answered {status} to {path}, so it is not started: {body}");
        Ok(())
    }

    /// Serves requests like [`App::serve`] until SIGINT or SIGTERM. `announce` is called with the address once signals
    /// are handled, since its reader may send one at once.
    ///
    /// # Errors
    ///
    /// Fails like [`App::serve`].
    pub async fn serve_until_signal(&self, listener: TcpListener, announce: impl FnOnce(SocketAddr)) -> Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        announce(listener.local_addr()?);
        let shutdown = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        self.serve(listener, shutdown).await
    }
}

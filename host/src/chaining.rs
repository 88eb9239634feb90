//! Requests that a component sends to another one of the same app, as Spin's local service chaining has them.
//!
//! The host name is `<component id>.spin.internal`. Scheme and port do not matter, no route is needed, and the path is
//! passed on unchanged. It must not know which components may call each other: the allowed hosts of the caller decide.
//!
//! A chained request has slots of its own (`slots.rs`). A chain of more than two components holds several of them, so
//! many such chains at once may wait for each other. Then some are answered with 503 after the longest wait.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::{Request, header};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::app::App;
use crate::outbound::Sent;

/// The end of the host names of components.
pub(crate) const INTERNAL: &str = ".spin.internal";

/// The address of the client that a chained request has.
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Returns the id of the component that a host name names, whether it exists or not.
pub(crate) fn component_of(host: &str) -> Option<&str> {
    host.strip_suffix(INTERNAL).filter(|id| !id.contains('.'))
}

/// Passes a request to a component and waits for the head of the answer.
///
/// # Errors
///
/// Fails when no component with this id has an HTTP trigger, and when the answer takes too long. Its guest continues
/// then.
pub(crate) async fn send(app: &App, id: &str, mut request: Request<WasiBody>, longest: Duration) -> Sent {
    let Some(component) = app.chained(id) else {
        // Spin ends the guest that sent the request with a trap here.
        let why = "no component of this name has an HTTP trigger";
        app.output().report(&format!("a guest's request to {id}{INTERNAL} failed: {why}"));
        return Err(HttpError::DestinationNotFound);
    };
    // As in Spin, the host is in the URI alone.
    request.headers_mut().remove(header::HOST);
    let answer = timeout(longest, app.respond_to_component(request, component, CLIENT));
    let answer = answer.await.map_err(|_| HttpError::ConnectionReadTimeout)?;
    Ok((answer.response, Box::new(std::future::ready(Ok(())))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_names_a_component_as_in_spin() {
        for (host, id) in [
            ("identity.spin.internal", Some("identity")),
            (".spin.internal", Some("")),
            ("a.b.spin.internal", None),
            ("spin.internal", None),
            ("identity.spin.internal.example", None),
            ("identity.Spin.internal", None),
            ("identityspin.internal", None),
        ] {
            assert_eq!(component_of(host), id, "{host}");
        }
    }
}

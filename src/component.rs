//! The shell.

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "scheduled", generate_all });
    pub(super) struct Component;
    export!(Component);
}

use bindings::wasi::keyvalue::{atomics, batch, store};
use spin_sdk::http::{IncomingRequest, IntoResponse, Request, Response};
use spin_sdk::http_component;

impl bindings::Guest for bindings::Component {
    fn handle_cron_event(metadata: bindings::Metadata) -> Result<(), bindings::Error> {
        let bucket = store::open("default").map_err(|e| bindings::Error::Other(format!("{e:?}")))?;
        bucket
            .set("tick", metadata.timestamp.to_string().as_bytes())
            .map_err(|e| bindings::Error::Other(format!("{e:?}")))?;
        Ok(())
    }
}

#[http_component]
fn handle(request: Request) -> Response {
    let bucket = store::open("default").unwrap();
    let n = atomics::increment(&bucket, "hits", 1).unwrap();
    let cas = atomics::Cas::new(&bucket, "cas").unwrap();
    let old = cas.current().unwrap();
    let swapped = atomics::swap(cas, n.to_string().as_bytes()).is_ok();
    batch::set_many(&bucket, &[("a".to_string(), b"1".to_vec())]).unwrap();
    let many = batch::get_many(&bucket, &["a".to_string(), "tick".to_string()]).unwrap();
    let mode = spin_sdk::variables::get("auth_mode");
    Response::builder().status(200).body(format!("{} {n} {old:?} {swapped} {many:?} {mode:?}\n", request.uri())).build()
}

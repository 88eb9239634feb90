//! The minimal component with the same calls of the host as ours, which `make bench` compares ours with. It checks
//! nothing, parses nothing, and has no format of its own.

#[cfg(target_family = "wasm")]
mod component {
    use spin_sdk::http::{IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

    use bindings::wasi::keyvalue::{atomics, batch, store};

    mod bindings {
        #![expect(unsafe_code, clippy::pedantic, reason = "generated")]
        #![allow(clippy::all, reason = "generated")]

        wit_bindgen::generate!({ path: "../../wit", world: "scheduled", generate_all });

        pub(super) struct Component;
        export!(Component);
    }

    /// Returns the key of a row. The benchmark writes as many rows as there are snapshots, of the same length.
    fn row(id: &str) -> String {
        format!("bare:stored:{id}")
    }

    impl bindings::Guest for bindings::Component {
        /// Makes three reads, like an idle run of our schedule.
        fn handle_cron_event(_metadata: bindings::Metadata) -> Result<(), bindings::Error> {
            let failed = |error: store::Error| bindings::Error::Other(format!("{error:?}"));
            let bucket = store::open("default").map_err(failed)?;
            for key in ["bare:one", "bare:two", "bare:three"] {
                bucket.get(key).map_err(failed)?;
            }
            Ok(())
        }
    }

    mod http_export {
        #![expect(unsafe_code, clippy::pedantic, clippy::nursery, reason = "generated")]
        #![allow(clippy::all, reason = "generated")]

        use spin_sdk::http::{IncomingRequest, ResponseOutparam};
        use spin_sdk::http_component;

        #[http_component]
        fn handle(request: IncomingRequest, response_out: ResponseOutparam) {
            super::serve(&request, response_out);
        }
    }

    fn serve(request: &IncomingRequest, response_out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (status, body) = match answer(&path, request) {
            Ok(body) => (200, body),
            Err(error) => (500, format!("{error:?}").into_bytes()),
        };
        let response = OutgoingResponse::new(spin_sdk::http::Headers::new());
        let (Ok(()), Ok(outgoing)) = (response.set_status_code(status), response.body()) else { return };
        // Like our component, write the body before the head is sent, so that both leave in one segment.
        if let Ok(stream) = outgoing.write()
            && stream.check_write().is_ok_and(|room| room >= body.len() as u64)
        {
            let _ = stream.write(&body);
        }
        let _ = OutgoingBody::finish(outgoing, None);
        response_out.set(response);
    }

    fn answer(path: &str, request: &IncomingRequest) -> Result<Vec<u8>, store::Error> {
        let open = || store::open("default");
        // The last part of the path names the row, so that there are as many rows as our component has.
        let (work, name) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        match work {
            "get" => Ok(open()?.get(&row(name))?.unwrap_or_default()),
            "rows" => {
                let (bucket, body) = (open()?, body(request));
                let rows = (0..name.parse().unwrap_or(0))
                    .map(|number: u32| (row(&format!("bbbbbbbb-0000-4000-8000-{number:012}")), body.clone()));
                batch::set_many(&bucket, &rows.collect::<Vec<_>>())?;
                Ok(Vec::new())
            }
            "swap" => {
                let (bucket, key) = (open()?, format!("bare:swapped:{name}"));
                bucket.get(&key)?;
                let cas = atomics::Cas::new(&bucket, &key)?;
                cas.current()?;
                match atomics::swap(cas, &body(request)) {
                    Err(atomics::CasError::StoreError(error)) => Err(error),
                    // Another writer was faster, which changes nothing about the work.
                    Ok(()) | Err(atomics::CasError::CasFailed(_)) => Ok(Vec::new()),
                }
            }
            // A new row, and a row that several writers share.
            "two-commits" => {
                let (bucket, body) = (open()?, body(request));
                bucket.set(&format!("bare:new:{name}"), &body)?;
                bucket.set(
                    &format!("bare:shared:{}", name.get(name.len().saturating_sub(2)..).unwrap_or_default()),
                    &body,
                )?;
                Ok(Vec::new())
            }
            _ => Ok(b"hello".to_vec()),
        }
    }

    fn body(request: &IncomingRequest) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Ok(body) = request.consume() else { return bytes };
        let Ok(stream) = body.stream() else { return bytes };
        while let Ok(chunk) = stream.blocking_read(64 * 1024) {
            bytes.extend_from_slice(&chunk);
        }
        bytes
    }
}

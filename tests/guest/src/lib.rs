//! A component for the tests of the embedded host. Its header `do` says what a request does, so that the path is free
//! for the routes.

#[cfg(target_family = "wasm")]
mod component {
    use spin_sdk::http::conversions::TryFromIncomingRequest;
    use spin_sdk::http::{IncomingRequest, Request, Response};
    use spin_sdk::key_value::Store;
    use spin_sdk::variables;

    mod bindings {
        #![expect(unsafe_code, clippy::pedantic, reason = "generated")]
        #![allow(clippy::all, reason = "generated")]

        wit_bindgen::generate!({ path: "../../wit", world: "scheduled", generate_all });

        pub(super) struct Component;
        export!(Component);
    }

    impl bindings::Guest for bindings::Component {
        /// Stores the time of the event under the component's name.
        fn handle_cron_event(metadata: bindings::Metadata) -> Result<(), bindings::Error> {
            let failed = |error: String| bindings::Error::Other(error);
            let name = variables::get("name").map_err(|error| failed(error.to_string()))?;
            let store = Store::open_default().map_err(|error| failed(error.to_string()))?;
            let time = metadata.timestamp.to_string();
            store.set(&format!("fired:{name}"), time.as_bytes()).map_err(|error| failed(error.to_string()))
        }
    }

    mod http_export {
        #![expect(unsafe_code, clippy::pedantic, clippy::nursery, reason = "generated")]
        #![allow(clippy::all, reason = "generated")]

        use spin_sdk::http::{IncomingRequest, IntoResponse};
        use spin_sdk::http_component;

        #[http_component]
        async fn handle(request: IncomingRequest) -> impl IntoResponse {
            super::serve(request).await
        }
    }

    async fn serve(request: IncomingRequest) -> Response {
        // A `Request` has only the last value of each header.
        let headers = request.headers().entries();
        let request = match Request::try_from_incoming_request(request).await {
            Ok(request) => request,
            Err(error) => return Response::new(500, format!("{error:?}")),
        };
        let instruction = request.header("do").and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let (verb, object) = instruction.split_once(' ').unwrap_or((&instruction, ""));
        match verb {
            "headers" => lines(&headers),
            "get" => get(object),
            "set" => set(object, request.body()),
            "call" => call(object, request).await,
            "echo" => Response::new(200, request.into_body()),
            "trap" => panic!("as the request said"),
            _ => answer(variables::get(verb)),
        }
    }

    /// Answers with the headers of the request, one a line, those of a name in their order.
    fn lines(headers: &[(String, Vec<u8>)]) -> Response {
        let line = |(name, value): &(String, Vec<u8>)| format!("{name}: {}\n", String::from_utf8_lossy(value));
        Response::new(200, headers.iter().map(line).collect::<String>())
    }

    fn get(key: &str) -> Response {
        let value = Store::open_default().and_then(|store| store.get(key));
        answer(
            value.map(|value| value.map_or_else(|| "none".to_owned(), |value| String::from_utf8_lossy(&value).into())),
        )
    }

    fn set(key: &str, value: &[u8]) -> Response {
        answer(Store::open_default().and_then(|store| store.set(key, value)).map(|()| String::new()))
    }

    /// Sends the request on, with the header `then` in place of `do`. Answers with the status and the body of the answer.
    async fn call(url: &str, request: Request) -> Response {
        let then = request.header("then").and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let next = request.header("then-then").and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let call = Request::builder()
            .method(request.method().clone())
            .uri(url)
            .header("do", then)
            .header("then", next)
            .body(request.into_body())
            .build();
        match spin_sdk::http::send::<_, Response>(call).await {
            Ok(response) => {
                let body = String::from_utf8_lossy(response.body()).into_owned();
                Response::new(200, format!("{} {body}", response.status()))
            }
            Err(error) => Response::new(502, format!("{error:?}")),
        }
    }

    fn answer<E: std::fmt::Debug>(value: Result<String, E>) -> Response {
        match value {
            Ok(value) => Response::new(200, value),
            Err(error) => Response::new(500, format!("{error:?}")),
        }
    }
}

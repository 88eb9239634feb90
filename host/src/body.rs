//! The body of a client's request, which is read before the request takes an instance.
//!
//! It must not know HTTP's answers or how a guest reads.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use wasmtime_wasi_http::Error as HttpError;

/// The size up to which a body is held whole, in bytes. It is above the 114,688 bytes that OpenStack's services take.
///
/// A larger body is handed to the guest while it arrives. The host cannot know which caller may send one, and if it
/// held large bodies for everyone, anyone could fill its memory. The guest can tell: it refuses a body by its
/// `Content-Length`, or once it has read too much, and asks only a caller that it trusts for all of it. So nothing is
/// ever cut off and passed on as if it were complete, and a body without a `Content-Length` that is too large reaches
/// the guest far enough to be refused at once. The app bounds the number of instances that such requests may occupy.
const LARGEST_HELD: usize = 128 << 10;

/// A body of which a part has arrived.
#[derive(Debug)]
pub(crate) struct HeldBody {
    held: Bytes,
    /// The part that has not arrived. `None` if the body is whole.
    rest: Option<Incoming>,
}

impl HeldBody {
    /// Reads a body, unless it is larger than [`LARGEST_HELD`]. Nothing is read of a body that says so in advance.
    ///
    /// # Errors
    ///
    /// Fails when the body ends early or is malformed.
    pub(crate) async fn read(mut body: Incoming) -> Result<Self, hyper::Error> {
        // The lower bound is the Content-Length if there is one, and zero otherwise.
        if body.size_hint().lower() > LARGEST_HELD as u64 {
            return Ok(Self { held: Bytes::new(), rest: Some(body) });
        }
        // The bytes are copied, because a frame of a single byte keeps the whole buffer of its connection allocated.
        let mut held = BytesMut::new();
        while held.len() <= LARGEST_HELD {
            match body.frame().await {
                // Trailers are dropped. Nothing that runs here reads them.
                Some(frame) => held.extend(frame?.into_data().ok()),
                None => return Ok(Self { held: held.freeze(), rest: None }),
            }
        }
        Ok(Self { held: held.freeze(), rest: Some(body) })
    }

    /// Whether nothing is left to arrive.
    pub(crate) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if !self.held.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.held)))));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(self.held.len() as u64), |_| SizeHint::default())
    }
}

/// A body that fails after its last byte.
#[derive(Debug)]
pub(crate) struct CutShort(Option<Bytes>);

impl CutShort {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(Some(bytes))
    }
}

impl Body for CutShort {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = self.0.take().map(Frame::data);
        Poll::Ready(Some(frame.ok_or(HttpError::HttpRequestBodySize(None))))
    }
}

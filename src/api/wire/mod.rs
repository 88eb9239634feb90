//! HTTP: the parts of a request, the reply with its headers, the forms of faults, and JSON.
//!
//! Nothing here knows an operation or a resource.

pub mod accept;
pub mod body;
pub mod document;
pub mod faults;
pub mod headers;
pub mod origin;
pub mod reply;
pub mod request;

//! HTTP as bytes: the parts of a request, the reply with its headers, fault bodies, and JSON.

pub mod document;
pub mod faults;
pub mod headers;
pub mod reply;
pub mod request;

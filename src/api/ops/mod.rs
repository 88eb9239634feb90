//! The operator's routes, `/_ops/...`.

pub mod routes;

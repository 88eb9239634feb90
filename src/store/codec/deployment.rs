//! The deployment's record as JSON.

use crate::store::deployment::Deployment;

super::envelope::stored_as_json!(Deployment, crate::json::read);

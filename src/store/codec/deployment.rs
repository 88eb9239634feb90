//! The deployment's record and the volume types as JSON.

use crate::domain::{GroupTypes, VolumeTypes};
use crate::store::deployment::Deployment;

super::envelope::stored_as_json!(Deployment, crate::json::read);
super::envelope::stored_as_json!(VolumeTypes, crate::json::read);
super::envelope::stored_as_json!(GroupTypes, crate::json::read);

//! The variables of `spin.toml`.

use super::bindings::fermyon::spin::variables;
use crate::settings::Variables;

/// Spin's variables.
pub(super) struct SpinVariables;

impl Variables for SpinVariables {
    fn get(&self, name: &str) -> Result<String, String> {
        variables::get(name).map_err(|error| error.to_string())
    }
}

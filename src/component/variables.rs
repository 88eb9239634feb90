//! The variables of `spin.toml`.

use crate::settings::Variables;

/// Spin's variables.
pub(super) struct SpinVariables;

impl Variables for SpinVariables {
    fn get(&self, name: &str) -> Result<String, String> {
        spin_sdk::variables::get(name).map_err(|error| error.to_string())
    }
}

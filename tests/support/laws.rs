//! How laws are tried on generated data: the same cases every time, so that what a gate lets through does not depend on
//! luck, and others for whoever looks for more.
//!
//! `PROPTEST_RNG_SEED` names another seed, and `PROPTEST_CASES` another number of cases; `PROPTEST_RNG_SEED=$RANDOM` is a
//! good thing to leave running. A failure prints the smallest case that was found, and the seed is in the command.

use proptest::test_runner::{Config, RngSeed};

/// The seed of whoever names none.
const SEED: u64 = 20_261_124;

/// So many cases, unless the environment says otherwise.
pub fn cases(cases: u32) -> Config {
    let from_environment = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    Config {
        cases: from_environment("PROPTEST_CASES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(cases),
        rng_seed: RngSeed::Fixed(from_environment("PROPTEST_RNG_SEED").unwrap_or(SEED)),
        failure_persistence: None,
        ..Config::default()
    }
}

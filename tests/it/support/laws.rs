//! The length of long tests, and the generated cases of laws.
//!
//! Long tests have a short form, for a developer who waits, and a whole form, which runs if `CI` is set. Laws try the
//! same cases every time, so that a gate does not depend on luck. `PROPTEST_RNG_SEED` sets another seed, for example
//! `$RANDOM`, and `PROPTEST_CASES` another number of cases. A failure prints the smallest case that was found.

use proptest::test_runner::{Config, RngSeed};

/// The default seed.
const SEED: u64 = 20_261_124;

/// Returns the size of the short form of a long test, or in CI that of the whole form.
pub fn short_or_whole<T>(short: T, whole: T) -> T {
    if std::env::var_os("CI").is_some() { whole } else { short }
}

/// Returns a configuration with the number of cases of the short or the whole form. The environment takes precedence.
pub fn cases(short: u32, whole: u32) -> Config {
    let cases = short_or_whole(short, whole);
    let from_environment = |name: &str| std::env::var(name).ok().and_then(|string| string.parse::<u64>().ok());
    Config {
        cases: from_environment("PROPTEST_CASES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(cases),
        rng_seed: RngSeed::Fixed(from_environment("PROPTEST_RNG_SEED").unwrap_or(SEED)),
        failure_persistence: None,
        ..Config::default()
    }
}

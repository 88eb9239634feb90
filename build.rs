//! Sets the size of the component's stack, and writes the two Unicode tables of `src/api/python/unicode.rs`. The whole table
//! of categories would add 40 KB to the component, and these two need little of it.

#![allow(clippy::disallowed_methods, reason = "cargo passes its settings as environment variables")]

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The stack of the component, in bytes. Spin clears all of an instance's memory after each request, and the default
/// stack of 1 MiB would be most of that memory. The deepest values of `tests/it/bad_input` fit into a quarter of this
/// size (`docs/adr/0008-what-a-request-costs-on-spin.md`).
const STACK: usize = 128 * 1024;

/// Returns the source of a constant: the ranges of the characters up to `last` whose category satisfies `is_one`.
fn ranges(name: &str, last: char, is_one: impl Fn(GeneralCategory) -> bool) -> String {
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut in_range = false;
    for character in '\0'..=last {
        let begins = is_one(character.general_category());
        match ranges.last_mut() {
            Some((_, end)) if begins && in_range => *end = character,
            _ if begins => ranges.push((character, character)),
            _ => {}
        }
        in_range = begins;
    }
    let mut source = format!("pub(super) const {name}: [(u32, u32); {}] = [", ranges.len());
    for (start, end) in ranges {
        write!(source, "({}, {}),", u32::from(start), u32::from(end)).expect("writing to a String never fails");
    }
    source + "];\n"
}

fn main() {
    if env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size={STACK}");
        // The numbers that the linker fills in have five bytes, and most of these are padding: a tenth of the
        // component. The linker cannot remove the padding if there is debugging information.
        if env::var("DEBUG").is_ok_and(|debug| debug == "false") {
            println!("cargo::rustc-link-arg-cdylib=--compress-relocations");
        }
    }
    let digits = ranges("DECIMAL_DIGITS", char::MAX, |category| category == GeneralCategory::DecimalNumber);
    let unprintable = ranges("UNPRINTABLE", '\u{fffe}', |category| {
        matches!(
            category,
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::Surrogate
                | GeneralCategory::PrivateUse
                | GeneralCategory::Unassigned
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
    });
    let directory = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&directory).join("unicode.rs"), digits + &unprintable).expect("the tables can be written");
    println!("cargo::rerun-if-changed=build.rs");
}

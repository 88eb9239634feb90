//! Says how large the component's stack is, and writes the two tables of Unicode that `src/api/python/unicode.rs` looks into: the
//! whole table of categories would be 40 KB of the component, of which two questions need little.

#![allow(clippy::disallowed_methods, reason = "cargo passes its settings in the environment")]

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The stack of the component, in bytes. Spin clears all of an instance's memory after each request, and the usual stack is
/// a mebibyte, most of that memory. The deepest values of `tests/it/bad_input` fit a quarter of this one
/// (`docs/adr/0008-what-a-request-costs-on-spin.md`).
const STACK: usize = 128 * 1024;

/// A text with the ranges of those characters up to the last that something is true of.
fn ranges(name: &str, last: char, is_one: impl Fn(GeneralCategory) -> bool) -> String {
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut goes_on = false;
    for character in '\0'..=last {
        let begins = is_one(character.general_category());
        match ranges.last_mut() {
            Some((_, end)) if begins && goes_on => *end = character,
            _ if begins => ranges.push((character, character)),
            _ => {}
        }
        goes_on = begins;
    }
    let mut text = format!("pub(super) const {name}: [(u32, u32); {}] = [", ranges.len());
    for (start, end) in ranges {
        write!(text, "({}, {}),", u32::from(start), u32::from(end)).expect("a String takes everything");
    }
    text + "];\n"
}

fn main() {
    if env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size={STACK}");
        // Numbers that the linker fills in have five bytes, most of which are padding: a tenth of the component. It cannot
        // take them out where there is debugging information.
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
    let directory = env::var_os("OUT_DIR").expect("cargo says where to write");
    fs::write(Path::new(&directory).join("unicode.rs"), digits + &unprintable).expect("the tables are written");
    println!("cargo::rerun-if-changed=build.rs");
}

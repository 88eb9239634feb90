//! Who may name whom in `src/`: the layers, and the crates that only the shell knows.
//!
//! Reads the paths in the code (`crate::store`, `super::store`, `use crate::{store, tick}`), in its tests too, and compares
//! them with the table below. Comments do not count.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// A module below `src/`, the modules that it may name, and the reason.
struct Layer {
    name: &'static str,
    may_name: &'static [&'static str],
    because: &'static str,
}

const LAYERS: [Layer; 9] = [
    Layer {
        name: "domain",
        may_name: &[],
        because: "its rules are true whatever stores or asks for the resources, so nothing above it may leak in",
    },
    Layer {
        name: "store",
        may_name: &["domain", "json"],
        because: "it keeps resources and must not know who asks, or what is allowed",
    },
    Layer {
        name: "service",
        may_name: &["domain", "store", "settings"],
        because: "it decides what happens, for any protocol, and never waits for the schedule",
    },
    Layer {
        name: "keystone",
        may_name: &["domain", "store", "settings"],
        because: "it tells who a caller is; what the caller may do is decided above it",
    },
    Layer {
        name: "tick",
        may_name: &["domain", "store"],
        because: "it completes what is due, which no request has to be there for",
    },
    Layer {
        name: "api",
        may_name: &["service", "domain", "keystone", "settings", "json"],
        because: "it translates HTTP and must not know how anything is stored or completed",
    },
    Layer { name: "settings", may_name: &["domain"], because: "it parses values for everybody" },
    Layer { name: "json", may_name: &[], because: "it parses values for everybody" },
    Layer {
        name: "component",
        may_name: &["api", "tick", "service", "keystone", "store", "settings", "domain"],
        because: "it connects the core with Spin",
    },
];

/// The crates of the platform. Only the component names them, so that the core builds and is tested natively.
const PLATFORM: [&str; 3] = ["spin_sdk", "wasi", "wit_bindgen"];

/// The exceptions to the table: the beginning of a file's path below `src/`, and the layer that it names. An entry that is no
/// longer needed fails the test. The operator's tick and the relief of a full agenda both run the step
/// (`docs/adr/0013-the-house.md`).
const EXCEPTIONS: &[(&str, &str)] = &[("service/ops.rs", "tick")];

/// A name of another layer or of a crate in a file, whose path is relative to `src/`.
type Named = (String, String);

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the code without comments. A `//` in a string cuts the line too, which hides no path: paths are not in strings.
fn without_comments(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn identifier(code: &str) -> &str {
    code.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap_or_default()
}

/// Returns the first name of each path that follows: one, or those of a `{...}` group.
fn first_names(code: &str) -> Vec<&str> {
    let Some(group) = code.strip_prefix('{') else { return vec![identifier(code)] };
    let (mut names, mut depth, mut begins) = (Vec::new(), 0_usize, true);
    for (position, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if begins && !character.is_whitespace() => {
                names.push(identifier(&group[position..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

/// Returns the modules and platform crates that some code names.
fn names(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for root in ["crate::", "super::"] {
        for (position, _) in code.match_indices(root) {
            let after = &code[position + root.len()..];
            let is_layer = |name: &&str| LAYERS.iter().any(|layer| layer.name == *name);
            names.extend(first_names(after).into_iter().filter(is_layer).map(str::to_owned));
        }
    }
    for name in PLATFORM {
        let starts_a_path = |(position, _): &(usize, &str)| {
            let before = code[..*position].chars().next_back();
            before.is_none_or(|character| !character.is_alphanumeric() && !"_:".contains(character))
        };
        if code.match_indices(&format!("{name}::")).any(|found| starts_a_path(&found)) {
            names.insert(name.to_owned());
        }
    }
    names
}

fn layer_of(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

/// Returns what a file names although the table does not allow it, with the reason.
fn forbidden(file: &str, code: &str) -> Vec<(Named, String)> {
    let own = layer_of(file);
    let layer = LAYERS.iter().find(|layer| layer.name == own);
    names(code)
        .into_iter()
        .filter(|name| name != own)
        .filter_map(|name| {
            let because = match layer {
                // `lib.rs` and `main.rs` tie the layers together.
                None => return None,
                Some(_) if PLATFORM.contains(&name.as_str()) && own == "component" => return None,
                Some(_) if PLATFORM.contains(&name.as_str()) => "only the component knows the platform".to_owned(),
                Some(layer) if layer.may_name.contains(&name.as_str()) => return None,
                Some(layer) => layer.because.to_owned(),
            };
            Some(((file.to_owned(), name), because))
        })
        .collect()
}

#[test]
fn layers_name_only_what_lies_below_them() {
    let mut files = Vec::new();
    rust_files(Path::new(SOURCES), &mut files);
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let file = path.strip_prefix(SOURCES).expect("below src").to_str().expect("UTF-8").replace('\\', "/");
        assert!(
            file == "lib.rs" || LAYERS.iter().any(|layer| layer.name == layer_of(&file)),
            "src/{file} belongs to no layer of the table"
        );
        found.extend(forbidden(&file, &without_comments(&std::fs::read_to_string(&path).expect("a file"))));
    }
    let is_known =
        |(file, name): &Named| EXCEPTIONS.iter().any(|(prefix, known)| file.starts_with(prefix) && name == known);
    let broken: Vec<String> = found
        .iter()
        .filter(|(named, _)| !is_known(named))
        .map(|((file, name), because)| format!("src/{file} names {name}, but {because}"))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for (prefix, known) in EXCEPTIONS {
        let is_needed = found.iter().any(|((file, name), _)| file.starts_with(prefix) && name == known);
        assert!(is_needed, "src/{prefix} no longer names {known}: take it out of EXCEPTIONS");
    }
}

#[test]
fn names_are_found_in_every_form_of_path() {
    let code = "use crate::store::{Store, keys};\nuse crate::{\n    domain::{Id, Kind},\n    tick,\n};\n\
                fn f() -> super::super::service::Error { wasi::clocks::now() }\nuse bindings::wasi::keyvalue;";
    let found: Vec<String> = names(code).into_iter().collect();
    assert_eq!(found, ["domain", "service", "store", "tick", "wasi"]);
    assert!(
        names(&without_comments("//! See [`crate::api`].\nuse self::bindings::wasi::io; // crate::tick")).is_empty()
    );
    let because = forbidden("domain/snapshot.rs", "use crate::store::Store;").remove(0).1;
    assert_eq!(because, LAYERS[0].because);
}

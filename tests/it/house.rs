//! The rules of the house, read off the sources: who may know whom, what nobody does, what a file
//! looks like; and that the documents say what is so. Each rule is shown to fail on a small sample.

mod arrows;
pub mod docs;
mod ops;
mod shape;
mod source;
pub mod units;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ron_ledger::telemetry::Metrics;

use source::{Finding, Source};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files below a folder with one of these endings, by their paths from the root.
pub fn files(folder: &str, ending: &str) -> Vec<String> {
    let (mut folders, mut found) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|it| it == ending) => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    let from_root = |path: &PathBuf| path.strip_prefix(root()).unwrap().display().to_string();
    found.iter().map(from_root).collect()
}

/// All of `src`; the files that only tests have are known by how they are declared.
fn sources() -> Vec<Source> {
    let texts: Vec<(String, String)> =
        files("src", "rs").into_iter().map(|path| (path.clone(), read(&path))).collect();
    assert!(texts.len() > 100, "only {} files found", texts.len());
    let test_modules: BTreeSet<String> =
        texts.iter().flat_map(|(path, text)| test_modules_of(path, text)).collect();
    let is_test = |path: &str| {
        let module = path.trim_end_matches(".rs");
        test_modules.iter().any(|test| {
            module == test || module.strip_prefix(test).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    texts.iter().map(|(path, text)| Source::new(path, text, is_test(path))).collect()
}

/// `#[cfg(test)] mod name;` in a file makes `name.rs`, and all below `name`, a test.
fn test_modules_of(path: &str, text: &str) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    let folder = stem.strip_suffix("/mod").or_else(|| stem.strip_suffix("/lib")).unwrap_or(stem);
    let items = text.split("#[cfg(test)]").skip(1).map(str::trim_start);
    let names = items.filter_map(|item| {
        let (head, _) = item.split_once(';')?;
        head.rsplit_once("mod ").filter(|(_, name)| !name.contains(char::is_whitespace))
    });
    names.map(|(_, name)| format!("{folder}/{name}")).collect()
}

/// Runs a rule over every file, and shows all that it finds.
fn hold(rule: impl Fn(&Source) -> Vec<Finding>) {
    none(sources().iter().flat_map(rule).collect());
}

pub fn none(mut found: Vec<Finding>) {
    found.sort();
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
fn arrows_point_down() {
    let lib = read("src/lib.rs");
    let floors = arrows::floors(&lib);
    let declared = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for module in declared {
        assert!(
            floors.iter().any(|(name, _)| name == module),
            "{module} has no floor in src/lib.rs"
        );
    }
    hold(|source| arrows::upward(source, &floors));
}

#[test]
fn the_edge_reads_through_the_read_view() {
    hold(arrows::past_the_read_view);
}

#[test]
fn what_is_never_named_is_not_named() {
    hold(|source| arrows::NEVER.iter().flat_map(|rule| arrows::never(source, rule)).collect());
}

#[test]
fn every_file_says_what_it_is_for() {
    hold(shape::opens_with_what_it_is_for);
}

#[test]
fn files_and_functions_stay_short() {
    hold(shape::too_long);
    hold(shape::functions_too_long);
}

#[test]
fn nothing_is_left_unfinished() {
    hold(shape::unfinished);
}

#[test]
fn sources_are_ascii_and_name_no_machine() {
    hold(shape::not_ascii);
    hold(shape::names_a_machine);
}

#[test]
fn a_metric_is_named_in_one_place() {
    hold(|source| shape::names_a_metric(source, Metrics::NAMES));
}

#[test]
fn files_of_tests_are_told_by_their_declaration() {
    let text =
        "mod a;\n#[cfg(test)]\nmod contract;\n#[cfg(test)]\npub mod t;\n#[cfg(test)]\nmod x {}";
    assert_eq!(test_modules_of("src/a/mod.rs", text), ["src/a/contract", "src/a/t"]);
    assert_eq!(test_modules_of("src/a/b.rs", text)[0], "src/a/b/contract");
}

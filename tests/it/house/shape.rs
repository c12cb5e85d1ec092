//! What every file looks like: its head, its length and its functions', its characters, and what no
//! text of it says.

use super::source::{Finding, Source, Token};

pub const FILE_LINES_MAX: usize = 500;
pub const FUNCTION_LINES_MAX: usize = 70;

/// Functions that are one list, and lose by being cut. What is short again leaves this list.
pub const LISTS: &[(&str, &str, &str)] = &[(
    "src/actors/wiring.rs",
    "start",
    "what each actor is given, from the last one to the first",
)];

/// Who else may say which name: a field of an answer, or a reason, that shares its name with a metric; and whoever
/// reads the metrics of a node from outside.
const SHARED: &[(&str, &[&str])] = &[
    ("src/http/health.rs", &["committer_lag_ms"]),
    ("src/ledger/reason.rs", &["disk_pressure"]),
    (
        "src/ctl/bench/ledger.rs",
        &[
            "ledger_commits_total",
            "ledger_entries_committed_total",
            "ledger_head_seq",
            "rocksdb_wal_fsync_seconds_total",
            "rocksdb_wal_fsyncs_total",
            "store_bytes",
        ],
    ),
    (
        "src/ctl/chaos/watch.rs",
        &[
            "disk_pressure",
            "ledger_head_seq",
            "ledger_published_size",
            "ledger_safe_mode",
            "ledger_seq_gap_detected_total",
            "tasks_leaked_total",
            "wal_fsync_fail_total",
        ],
    ),
    ("src/ctl/top.rs", &["ledger_published_size"]),
    (
        "src/ctl/top/look.rs",
        &[
            "disk_pressure",
            "inflight_requests",
            "inflight_requests_capacity",
            "ledger_commits_total",
            "ledger_entries_committed_total",
            "ledger_head_seq",
            "ledger_published_size",
            "ledger_safe_mode",
            "queue_capacity",
            "queue_depth",
        ],
    ),
];

/// Marks of work that is not done.
const MARKS: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// Folders where somebody's own machine keeps things.
const PLACES: &[&str] = &["home", "root", "Users", "work", "mnt"];

pub fn opens_with_what_it_is_for(source: &Source) -> Vec<Finding> {
    match source.text.starts_with("//! ") {
        true => Vec::new(),
        false => vec![source.finding(1, "does not open with `//!`: say what the file is for")],
    }
}

pub fn too_long(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    match lines > FILE_LINES_MAX {
        true => {
            let what = format!("{lines} lines; {FILE_LINES_MAX} are the most");
            vec![source.finding(FILE_LINES_MAX + 1, what)]
        }
        false => Vec::new(),
    }
}

pub fn functions_too_long(source: &Source) -> Vec<Finding> {
    let is_long = |function: &&Function<'_>| function.lines > FUNCTION_LINES_MAX;
    let excepted: Vec<&str> = excepted(&source.path).collect();
    let functions = functions(source);
    let mut found = Vec::new();
    for function in functions.iter().filter(is_long) {
        let Function { name, line, lines } = function;
        if !excepted.contains(name) {
            let what = format!("`{name}` has {lines} lines; {FUNCTION_LINES_MAX} are the most");
            found.push(source.finding(*line, what));
        }
    }
    for name in excepted {
        if !functions.iter().filter(is_long).any(|function| function.name == name) {
            found.push(source.finding(1, format!("`{name}` is short: take it off the list")));
        }
    }
    found
}

fn excepted(path: &str) -> impl Iterator<Item = &'static str> {
    LISTS.iter().filter(move |(file, ..)| *file == path).map(|(_, name, _)| *name)
}

struct Function<'a> {
    name: &'a str,
    line: usize,
    lines: usize,
}

/// The functions of the programs that have a body.
fn functions(source: &Source) -> Vec<Function<'_>> {
    let tokens = &source.shipped;
    let function = |at: usize| {
        let [fn_, name] = [tokens.get(at)?, tokens.get(at + 1)?];
        let is_named = name.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let end = (fn_.text == "fn" && is_named).then(|| body_end(&tokens[at..]))??;
        Some(Function { name: &name.text, line: fn_.line, lines: end - fn_.line + 1 })
    };
    (0..tokens.len()).filter_map(function).collect()
}

/// The line of the brace that closes the body; `None` for a function without one.
fn body_end(tokens: &[Token]) -> Option<usize> {
    let (mut braces, mut others) = (0, 0);
    for token in tokens {
        match token.text.as_str() {
            "(" | "[" => others += 1,
            ")" | "]" => others -= 1,
            ";" if others == 0 && braces == 0 => return None,
            "{" => braces += 1,
            "}" => {
                braces -= 1;
                if braces == 0 && others == 0 {
                    return Some(token.line);
                }
            }
            _ => {}
        }
    }
    None
}

pub fn not_ascii(source: &Source) -> Vec<Finding> {
    each_line(source, |line| {
        let odd = line.chars().find(|char| !char.is_ascii())?;
        Some(format!("U+{:04X} is not ASCII", odd as u32))
    })
}

pub fn unfinished(source: &Source) -> Vec<Finding> {
    each_line(source, |line| {
        let mark = MARKS.iter().find(|mark| {
            line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == **mark)
        })?;
        Some(format!("{mark}: finish it, or say what holds instead"))
    })
}

pub fn names_a_machine(source: &Source) -> Vec<Finding> {
    each_line(source, |line| {
        let place = PLACES.iter().find(|place| line.contains(&format!("/{place}/")))?;
        Some(format!("`/{place}/` is a place on somebody's machine"))
    })
}

/// A metric's name stands where it is declared and nowhere else.
pub fn names_a_metric(source: &Source, names: &[&str]) -> Vec<Finding> {
    if source.path == "src/telemetry/metrics.rs" {
        return Vec::new();
    }
    let shipped = source.shipped.last().map_or(0, |token| token.line);
    let named = source.literals.iter().filter(|said| said.line <= shipped);
    let shared = SHARED.iter().filter(|(path, _)| *path == source.path);
    let shared: Vec<&str> = shared.flat_map(|(_, names)| names.iter().copied()).collect();
    let is_shared = |said: &Token| shared.contains(&said.text.as_str());
    let is_metric = |said: &&Token| names.contains(&said.text.as_str()) && !is_shared(said);
    let finding = |said: &Token| {
        let what = format!("`{}` is named in src/telemetry/metrics.rs alone", said.text);
        source.finding(said.line, what)
    };
    named.filter(is_metric).map(finding).collect()
}

fn each_line(source: &Source, fault: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let lines = source.text.lines().enumerate();
    lines.filter_map(|(at, line)| Some(source.finding(at + 1, fault(line)?))).collect()
}

#[cfg(test)]
mod samples {
    use super::*;

    fn check(rule: impl Fn(&Source) -> Vec<Finding>, good: &str, bad: &str, expected: &str) {
        let run = |text: &str| -> Vec<String> {
            let found = rule(&Source::new("src/some.rs", text, false));
            found.iter().map(ToString::to_string).collect()
        };
        assert_eq!(run(good), Vec::<String>::new());
        assert_eq!(run(bad), [expected]);
    }

    #[test]
    fn each_rule_of_shape_can_fail() {
        check(
            opens_with_what_it_is_for,
            "//! What.\n",
            "use std::fmt;\n",
            "src/some.rs:1: does not open with `//!`: say what the file is for",
        );
        check(
            too_long,
            &"x\n".repeat(500),
            &"x\n".repeat(501),
            "src/some.rs:501: 501 lines; 500 are the most",
        );
        let function =
            |lines: usize| format!("\nfn f(a: [u8; 3]) -> X {{\n{}}}\n", "a;\n".repeat(lines - 2));
        check(
            functions_too_long,
            &format!("trait T {{ fn g(); }}{}{}", function(70), "x\n".repeat(90)),
            &function(71),
            "src/some.rs:2: `f` has 71 lines; 70 are the most",
        );
        let short = Source::new(LISTS[0].0, "fn start() {}", false);
        assert_eq!(functions_too_long(&short)[0].what, "`start` is short: take it off the list");
        check(not_ascii, "a - b", "a\nb \u{2014} c", "src/some.rs:2: U+2014 is not ASCII");
        check(
            unfinished,
            "a list of todos",
            "// TODO: later",
            "src/some.rs:1: TODO: finish it, or say what holds instead",
        );
        check(
            names_a_machine,
            "/var/lib/ron-ledger",
            "let x = \"/home/me/x\";",
            "src/some.rs:1: `/home/` is a place on somebody's machine",
        );
        check(
            |source| names_a_metric(source, &["ledger_commits_total"]),
            "// ledger_commits_total\nlet a = \"ledger_commits\";",
            "let a = \"ledger_commits_total\";",
            "src/some.rs:1: `ledger_commits_total` is named in src/telemetry/metrics.rs alone",
        );
    }
}

//! Who may know whom: the floors of `src/lib.rs`, and what one floor must not name at all.

use super::source::{Finding, Named, Source};

/// The floor of each module, as the table in the head of `src/lib.rs` has it.
pub fn floors(lib: &str) -> Vec<(String, u32)> {
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | "));
    rows.filter_map(|row| {
        let floor: u32 = row.split([',', ' ']).next()?.parse().ok()?;
        let names = row.split('`').skip(1).step_by(2).map(str::to_owned);
        Some(names.map(move |name| (name, floor)))
    })
    .flatten()
    .collect()
}

/// The modules of the crate that a file names, whichever way.
fn known_to(source: &Source) -> Vec<Named> {
    let from_root = |named: Named| Named { segments: named.segments[1..].to_vec(), ..named };
    let mut named: Vec<Named> = source.paths_from("crate").into_iter().map(from_root).collect();
    named.extend(source.paths_from("ron_ledger").into_iter().map(from_root));
    let depth = source.modules().len();
    for path in source.paths_from("super") {
        let ups = path.segments.iter().take_while(|segment| *segment == "super").count();
        if ups == depth {
            named.push(Named { segments: path.segments[ups..].to_vec(), ..path });
        }
    }
    named
}

/// An arrow points down, or stays on its floor.
pub fn upward(source: &Source, floors: &[(String, u32)]) -> Vec<Finding> {
    let floor_of = |name: &str| floors.iter().find(|(known, _)| known == name).map(|(_, at)| *at);
    let Some(own) = source.modules().first().and_then(|name| floor_of(name)) else {
        // The root and the programs stand on top of everything.
        return Vec::new();
    };
    let mut found = Vec::new();
    for named in known_to(source) {
        let target = &named.segments[0];
        if let Some(floor) = floor_of(target).filter(|&floor| floor > own) {
            let what = format!("floor {own} names `{target}` of floor {floor}");
            found.push(source.finding(named.line, what));
        }
    }
    found
}

/// What the edge names of the store besides the read view: the error that a read can end with.
const READ_ERRORS: &str = "storage::error::ReadError";

/// Of the store, the edge knows the read view alone.
pub fn past_the_read_view(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    if source.path.starts_with("src/http/") {
        for named in known_to(source) {
            let path = named.segments.join("::");
            let is_allowed = path.starts_with("storage::reader::") || path == READ_ERRORS;
            if path.starts_with("storage") && !is_allowed {
                let what = format!("names `{path}`; the edge reads through `storage::reader`");
                found.push(source.finding(named.line, what));
            }
        }
    }
    found
}

/// What the code under `folder` never names, `except` in these files.
pub struct Never {
    pub folder: &'static str,
    pub except: &'static [&'static str],
    /// Words, `std::fs` and its like also from inside of a group, `.method`, `fn name`, `name !`.
    pub words: &'static [&'static str],
    pub why: &'static str,
}

pub const NEVER: &[Never] = &[
    Never {
        folder: "src/ledger/",
        except: &[],
        words: PURE,
        why: "the domain is pure: no I/O, no clock, no threads, no floats",
    },
    Never {
        folder: "src/accumulator/",
        except: &[],
        words: PURE,
        why: "the tree is pure: no I/O, no clock, no threads, no floats",
    },
    Never {
        folder: "src/storage/",
        except: &[],
        words: &["actix", "actix_rt", "actix_web", "tokio", "async", "SystemTime"],
        why: "the store is synchronous, and is given the time",
    },
    Never {
        folder: "src/policy/",
        except: &[],
        words: &["actix", "tokio", "tracing", "async", "f32", "f64", "SystemTime", "Instant"],
        why: "the guard decides by what it is given, the time as well",
    },
    Never {
        folder: "src/actors/",
        except: &[],
        words: &["actix_web", "reqwest", "HttpRequest", "HttpResponse", "StatusCode"],
        why: "actors know no HTTP",
    },
    Never {
        folder: "src/actors/",
        except: &["src/actors/door.rs", "src/actors/supervise.rs"],
        words: &["Addr", "Recipient", ".address", ".recipient", ".try_send"],
        why: "the door is the only way in, addresses are not handed out",
    },
    Never {
        folder: "src/actors/",
        except: &[],
        words: &["do_send", ".notify", ".notify_later", "WeakAddr"],
        why: "it ignores the bound of the mailbox",
    },
    Never {
        folder: "src/actors/",
        except: &["src/actors/supervise.rs"],
        words: &["actix::spawn", "actix_rt::spawn", "tokio::spawn", "ResponseFuture", ".wait_for"],
        why: "a panic outside of the actor's context is not seen",
    },
    Never {
        folder: "src/actors/",
        except: &[],
        words: &["fn stopping", "fn stopped"],
        why: "they run on a broken actor after a panic",
    },
    Never {
        folder: "src/actors/",
        except: &[],
        words: &["cancel_future", "SyncArbiter", "SyncContext", "actix::Supervisor"],
        why: "it does not survive a panic, see docs/CONCURRENCY.md",
    },
    Never {
        folder: "src/",
        except: &["src/actors/commit.rs", "src/actors/committer.rs", "src/storage/"],
        words: &[".writer", "storage::writer::Writer"],
        why: "only the committer writes",
    },
    Never {
        folder: "src/",
        except: &["src/storage/writer.rs"],
        words: &["Durable::new"],
        why: "only the writer says what is durable",
    },
    Never {
        folder: "src/",
        except: &[],
        words: &["unsafe", "todo !", "unimplemented !", "dbg !", ".unwrap"],
        why: "not in this house",
    },
];

const PURE: &[&str] = &[
    "actix",
    "actix_rt",
    "actix_web",
    "tokio",
    "parking_lot",
    "rocksdb",
    "rand",
    "getrandom",
    "tracing",
    "config",
    "async",
    "f32",
    "f64",
    "SystemTime",
    "Instant",
    "std::fs",
    "std::io",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time",
];

pub fn never(source: &Source, rule: &Never) -> Vec<Finding> {
    let spared = |except: &&str| source.path.starts_with(*except);
    if !source.path.starts_with(rule.folder) || rule.except.iter().any(spared) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for word in rule.words {
        for line in lines_with(source, word) {
            found.push(source.finding(line, format!("`{word}`: {}", rule.why)));
        }
    }
    found
}

fn lines_with(source: &Source, word: &str) -> Vec<usize> {
    if let Some((root, _)) = word.split_once("::") {
        let root = if root == "storage" { "crate" } else { root };
        let paths = source.paths_from(root).into_iter();
        let text = |named: &Named| named.segments.join("::");
        let begins = |named: &Named| {
            let path = text(named);
            let path = path.strip_prefix("crate::").unwrap_or(&path);
            path == word || path.starts_with(&format!("{word}::"))
        };
        return paths.filter(begins).map(|named| named.line).collect();
    }
    let spaced = word.replace('.', ". ");
    let wanted: Vec<&str> = spaced.split_whitespace().collect();
    let here = |window: &&[super::source::Token]| {
        window.iter().zip(&wanted).all(|(token, wanted)| token.text == *wanted)
    };
    source.shipped.windows(wanted.len()).filter(here).map(|window| window[0].line).collect()
}

#[cfg(test)]
mod samples {
    use super::*;

    fn sample(path: &str, text: &str) -> Source {
        Source::new(path, text, false)
    }

    fn shown(found: Vec<Finding>) -> Vec<String> {
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_arrow_up_is_found_in_each_form() {
        let floors = floors(
            "//! | floor | modules |\n//! | 0, pure | [`ledger`] |\n//! | 1, x | [`storage`], [`config`] |",
        );
        assert_eq!(floors.len(), 3);
        for text in [
            "use crate::storage::store::Store;",
            "use crate::{ledger::entry, storage::store};",
            "fn f() { crate::storage::open() }",
            "use super::storage;",
        ] {
            let found = shown(upward(&sample("src/ledger/mod.rs", text), &floors));
            assert_eq!(
                found,
                ["src/ledger/mod.rs:1: floor 0 names `storage` of floor 1"],
                "{text}"
            );
        }
        let inner = sample("src/ledger/plan.rs", "use super::super::config;\nuse super::storage;");
        assert_eq!(shown(upward(&inner, &floors)).len(), 1);
        for text in [
            "use crate::ledger::entry;",
            "// crate::actors",
            "#[cfg(test)]\nmod tests { use crate::http; }",
        ] {
            assert!(upward(&sample("src/storage/mod.rs", text), &floors).is_empty(), "{text}");
        }
    }

    #[test]
    fn the_edge_past_the_read_view_is_found() {
        let bad = "use crate::storage::{reader::Reader, error::ReadError, writer::Durable};\n\
                   use crate::storage::Head;";
        let found = shown(past_the_read_view(&sample("src/http/reads.rs", bad)));
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("src/http/reads.rs:1: names `storage::writer::Durable`"));
        assert!(past_the_read_view(&sample("src/actors/x.rs", bad)).is_empty());
    }

    /// Each rule has a text that breaks it, in each of its folders' files.
    #[test]
    fn each_word_that_is_never_named_is_found() {
        for rule in NEVER {
            let path = format!("{}some_file.rs", rule.folder);
            for word in rule.words {
                let text = match word.split_once("::") {
                    Some(("storage", tail)) => format!("use crate::storage::{{a, {tail}}};"),
                    Some((root, tail)) => format!("use {root}::{{a, {tail}}};"),
                    None => format!("fn f() {{ x{word}() }} {word} "),
                };
                let text = format!("//! Head.\n{text}");
                let found = shown(never(&sample(&path, &text), rule));
                assert!(!found.is_empty(), "{word} in {path} is not found");
                assert!(found[0].starts_with(&format!("{path}:2: `{word}`: ")), "{found:?}");
                let quoted = format!("//! {word}\nconst A: &str = \"{word}\";");
                assert!(never(&sample(&path, &quoted), rule).is_empty(), "{word}");
                for except in rule.except {
                    assert!(never(&sample(except, &text), rule).is_empty(), "{word}");
                }
            }
        }
    }
}

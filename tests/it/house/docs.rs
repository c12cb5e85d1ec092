//! The documents say what is so: the tests, routes, commands, files, keys and metrics that they name
//! are there. What `docs/API.md` says of the reasons is held by `http::error`, what `docs/CONFIG.md`
//! and `docs/OBSERVABILITY.md` list by `config` and `telemetry`.

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use ron_ledger::actors::mode::SafeReason;
use ron_ledger::ctl::Cli;
use ron_ledger::telemetry::Metrics;

use super::source::{Finding, Source};
use super::{files, none, read, root};

/// A document, or a sample of one.
struct Page {
    path: String,
    text: String,
}

impl Page {
    fn new(path: &str, text: &str) -> Self {
        Page { path: path.to_owned(), text: text.to_owned() }
    }

    fn of(path: &str) -> Self {
        Page::new(path, &read(path))
    }

    fn all() -> Vec<Page> {
        let mut paths = files("docs", "md");
        let top = ["README.md", "RUNBOOK.md", "CHANGELOG.md", "SECURITY.md"];
        paths.extend(top.map(str::to_owned));
        paths.extend(files("tests", "md"));
        paths.iter().map(|path| Page::of(path)).collect()
    }

    fn finding(&self, line: usize, what: String) -> Finding {
        Finding { path: self.path.clone(), line, what }
    }

    /// Each line with its number, and whether it stands in a fenced block.
    fn lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let mut fenced = false;
        self.text.lines().enumerate().map(move |(at, line)| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            (at + 1, line, fenced && !fence)
        })
    }

    /// What stands between backticks, outside of fenced blocks.
    fn quoted(&self) -> Vec<(usize, &str)> {
        let spans = |line| -> Vec<&str> { str::split(line, '`').skip(1).step_by(2).collect() };
        let lines = self.lines().filter(|(_, _, fenced)| !fenced);
        lines.flat_map(|(at, line, _)| spans(line).into_iter().map(move |it| (at, it))).collect()
    }

    /// The lines of fenced blocks, those that go on after a backslash as one.
    fn commands(&self) -> Vec<(usize, String)> {
        let mut found: Vec<(usize, String)> = Vec::new();
        for (at, line, _) in self.lines().filter(|(_, _, fenced)| *fenced) {
            match found.last_mut() {
                Some((_, last)) if last.ends_with('\\') => {
                    last.pop();
                    last.push_str(line);
                }
                _ => found.push((at, line.to_owned())),
            }
        }
        found
    }

    fn check(&self, fault: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
        let quoted = self.quoted().into_iter();
        quoted.filter_map(|(line, text)| Some(self.finding(line, fault(text)?))).collect()
    }
}

/// The paths of all tests, as `cargo test` prints them.
pub fn tests() -> BTreeSet<String> {
    let unit = files("src", "rs").into_iter().map(|path| (path, "src/"));
    let whole = files("tests/it", "rs").into_iter().map(|path| (path, "tests/it/"));
    let mut found = BTreeSet::new();
    for (path, base) in unit.chain(whole) {
        let source = Source::new(&path, &read(&path), false);
        let inner = path.trim_start_matches(base).trim_end_matches(".rs");
        let module: Vec<&str> = inner.split('/').filter(|part| *part != "mod").collect();
        found.extend(tests_of(&source, &module.join("::")));
    }
    found
}

/// Functions under an attribute that ends in `test`, with the inline modules that they stand in.
fn tests_of(source: &Source, module: &str) -> Vec<String> {
    let (mut path, mut found) = (vec![(module.to_owned(), 0)], Vec::new());
    let (mut depth, mut is_test) = (0, false);
    let words: Vec<&str> = source.tokens.iter().map(|token| token.text.as_str()).collect();
    for at in 0..words.len() {
        match words[at..] {
            ["mod", name, "{", ..] => path.push((name.to_owned(), depth + 1)),
            ["test", "]", ..] => is_test = true,
            ["fn", name, ..] if std::mem::take(&mut is_test) => {
                let modules = path.iter().map(|(name, _)| name.as_str());
                found.push(modules.chain([name]).collect::<Vec<_>>().join("::"));
            }
            ["{", ..] => depth += 1,
            ["}", ..] => {
                if path.last().is_some_and(|(_, opened)| *opened == depth && depth > 0) {
                    path.pop();
                }
                depth -= 1;
            }
            _ => {}
        }
    }
    found
}

/// Every bullet or `Held by` that names a path of modules names a test.
fn tests_missing(page: &Page, tests: &BTreeSet<String>) -> Vec<Finding> {
    page.check(|text| {
        let is_path = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c))
        };
        let looks = text.split("::").count() > 1 && text.split("::").all(is_path);
        let last = text.rsplit("::").next().unwrap_or_default();
        // A module has a name of one or two words; a test is a claim.
        (looks && last.matches('_').count() > 1 && !tests.contains(text))
            .then(|| format!("there is no test `{text}`"))
    })
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let tests = tests();
    assert!(tests.len() > 200, "only {} tests found", tests.len());
    none(Page::all().iter().flat_map(|page| tests_missing(page, &tests)).collect());
    let named = |path: &str| {
        let page = Page::of(path);
        page.quoted().iter().filter(|(_, text)| tests.contains(*text)).count()
    };
    assert!(named("docs/IDB.md") > 40 && named("docs/ARCHITECTURE.md") > 10);
}

/// Sections and "never" lines that nothing holds.
#[test]
fn every_never_and_every_invariant_says_what_holds_it() {
    let architecture = Page::of("docs/ARCHITECTURE.md");
    let (_, never) = architecture.text.split_once("\n## Never\n").expect("the section");
    let never = never.split("\n## ").next().unwrap_or_default();
    let items = never.split("\n\n").filter(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    let items: Vec<&str> = items.collect();
    assert!(items.len() >= 10, "{}", items.len());
    for item in items {
        let words: Vec<&str> = item.split_whitespace().collect();
        assert!(words.windows(2).any(|two| two == ["Held", "by"]), "nothing holds: {item}");
    }
    let idb = Page::of("docs/IDB.md");
    for section in idb.text.split("\n## ").skip(1) {
        assert!(section.contains("\n- `") || section.contains("compiler"), "no test: {section}");
    }
}

/// `(plane, method and path)` of each route that the code has, by the function that adds it.
fn routes_of(code: &str) -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    for function in code.split("fn ").skip(1) {
        let plane = match function.split(['(', '<']).next() {
            Some("api" | "ledger_routes") => "API",
            Some("operators_routes") => "metrics",
            Some("admin_routes") => "admin",
            _ => continue,
        };
        for (method, mark) in [("GET", ".service(get(\""), ("POST", ".service(post(\"")] {
            let paths = function.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(
                paths.map(|path| (plane, format!("{method} {}", path.trim_end_matches('*')))),
            );
        }
    }
    found
}

/// The same of the table of routes.
fn routes_told(manual: &str) -> BTreeSet<(&'static str, String)> {
    let (_, table) = manual.split_once("\n## Routes\n").expect("the section");
    let table = table.split("\n## ").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for line in table.lines().filter_map(|line| line.strip_prefix("| `")) {
        let mut cells = line.split('|').map(str::trim);
        let route = cells.next().unwrap_or_default().trim_end_matches('`');
        let route = route.split('?').next().unwrap_or_default().to_owned();
        match cells.next() {
            Some("both") => found.extend([("API", route.clone()), ("metrics", route)]),
            Some("metrics") => _ = found.insert(("metrics", route)),
            Some("admin") => _ = found.insert(("admin", route)),
            _ => _ = found.insert(("API", route)),
        }
    }
    found
}

#[test]
fn the_manual_has_the_routes_that_the_code_has() {
    let (code, manual) = (read("src/http/mod.rs"), read("docs/API.md"));
    let routes = routes_of(&code);
    assert!(routes.len() > 10, "{routes:?}");
    assert_eq!(routes, routes_told(&manual));
}

fn links_broken(page: &Page) -> Vec<Finding> {
    let folder = root().join(&page.path);
    let folder = folder.parent().expect("a file is in a folder");
    let mut found = Vec::new();
    for (line, text, _) in page.lines().filter(|(_, _, fenced)| !fenced) {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = target.split('#').next().unwrap_or_default();
            if !folder.join(file).exists() {
                found.push(page.finding(line, format!("the link to `{target}` leads nowhere")));
            }
        }
    }
    found
}

/// Paths of this repository in backticks.
fn files_missing(page: &Page) -> Vec<Finding> {
    const FOLDERS: &[&str] =
        &["src/", "tests/", "docs/", "configs/", "scripts/", "systemd/", "benches/", "ops/"];
    page.check(|text| {
        let is_ours = FOLDERS.iter().any(|folder| text.starts_with(folder));
        let is_plain = !text.contains(['*', ' ', '<']);
        (is_ours && is_plain && !root().join(text).exists())
            .then(|| format!("there is no `{text}`"))
    })
}

/// Keys of the configuration in backticks, by the first word of a section that there is.
fn keys_unknown(page: &Page, keys: &BTreeSet<String>) -> Vec<Finding> {
    page.check(|text| {
        let key = text.split(['=', ' ']).next().unwrap_or_default();
        let (section, rest) = key.split_once('.')?;
        let is_section = keys.iter().any(|known| known.starts_with(&format!("{section}.")));
        let is_key = rest.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        (is_section
            && is_key
            && !["md", "rs", "toml", "py", "key"].contains(&rest)
            && !keys.contains(key))
        .then(|| format!("there is no setting `{key}`"))
    })
}

/// Whatever looks like a metric, also in a block.
fn metrics_unknown(page: &Page) -> Vec<Finding> {
    let ends = ["_total", "_seconds", "_seconds_bucket", "_seconds_sum", "_seconds_count"];
    let mut found = Vec::new();
    for (line, text, _) in page.lines() {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| ends.iter().any(|end| word.ends_with(end))) {
            let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
            let name = name.unwrap_or(word);
            if !Metrics::NAMES.contains(&name) && !name.starts_with("process_") {
                found.push(page.finding(line, format!("there is no metric `{word}`")));
            }
        }
    }
    found
}

#[test]
fn every_link_file_setting_and_metric_that_a_document_names_is_there() {
    let manual = read("docs/CONFIG.md");
    let keys = manual.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let keys: BTreeSet<String> = keys.map(str::to_owned).collect();
    assert!(keys.len() > 40, "{keys:?}");
    let check = |page: &Page| {
        let found = [links_broken(page), files_missing(page), keys_unknown(page, &keys)];
        found.into_iter().flatten().chain(metrics_unknown(page)).collect::<Vec<_>>()
    };
    none(Page::all().iter().flat_map(check).collect());
}

/// Commands of `ron-ledgerctl`: in a block the whole line must parse, in a sentence the sub-commands.
fn commands_unknown(page: &Page) -> Vec<Finding> {
    const NAME: &str = "ron-ledgerctl ";
    let mut found = Vec::new();
    let blocks = page.commands().into_iter().map(|(at, text)| (at, text, true));
    let inline = page.quoted().into_iter().map(|(at, text)| (at, text.to_owned(), false));
    for (line, text, whole) in blocks.chain(inline) {
        let starts = text.match_indices(NAME).map(|(at, _)| at);
        for at in starts.filter(|&at| at == 0 || text[..at].ends_with([' ', '('])) {
            let command =
                text[at..].split(['|', '>', ')', '#', ';', '&']).next().unwrap_or_default();
            if let Err(error) = parse(command, whole) {
                found.push(page.finding(line, format!("`{}`: {error}", command.trim())));
            }
        }
    }
    found
}

fn parse(command: &str, whole: bool) -> Result<(), String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    if whole {
        let parsed = Cli::command().try_get_matches_from(&words);
        return parsed.map(|_| ()).map_err(|error| error.kind().to_string());
    }
    let mut here = Cli::command();
    for word in &words[1..] {
        if !here.has_subcommands() || word.starts_with(['-', '<', '.']) {
            break;
        }
        here = here.find_subcommand(word).cloned().ok_or(format!("no command {word}"))?;
    }
    Ok(())
}

#[test]
fn every_command_that_a_document_shows_is_understood() {
    none(Page::all().iter().flat_map(commands_unknown).collect());
}

#[test]
fn the_runbook_knows_every_reason_for_safe_mode() {
    for path in ["RUNBOOK.md", "docs/CONCURRENCY.md"] {
        let text = read(path);
        for reason in SafeReason::ALL {
            assert!(text.contains(&format!("| `{reason}` |")), "{path} has no row for {reason}");
        }
    }
}

#[test]
fn documents_are_ascii_and_their_lines_end_in_time() {
    const COLUMNS_MAX: usize = 120;
    let mut found = Vec::new();
    for page in Page::all() {
        for (line, text, fenced) in page.lines() {
            if !text.is_ascii() {
                found.push(page.finding(line, "is not ASCII".to_owned()));
            }
            // A row of a table is one line, however long.
            if text.len() > COLUMNS_MAX && !text.starts_with('|') && !fenced {
                found.push(page.finding(line, format!("{} columns", text.len())));
            }
        }
    }
    none(found);
}

#[test]
fn each_rule_of_documents_can_fail() {
    let page = |text: &str| Page::new("docs/SAMPLE.md", text);
    let check = |found: Vec<Finding>, expected: &str| {
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, [format!("docs/SAMPLE.md:{expected}")]);
    };
    let tests = BTreeSet::from(["house::a_b_c".to_owned()]);
    let text = "`house::a_b_c`\n- `house::a_b_d`\n`storage::reader`";
    check(tests_missing(&page(text), &tests), "2: there is no test `house::a_b_d`");
    let text = "[a](IDB.md#x) [b](https://x.y)\n[c](NONE.md)";
    check(links_broken(&page(text)), "2: the link to `NONE.md` leads nowhere");
    check(files_missing(&page("`src/lib.rs`\n`src/none.rs`")), "2: there is no `src/none.rs`");
    let keys = BTreeSet::from(["http.workers".to_owned()]);
    let text = "`http.workers=2` `x.y`\n`http.worker`";
    check(keys_unknown(&page(text), &keys), "2: there is no setting `http.worker`");
    let text = "`ledger_commits_total`\n```\nrate(ledger_commit_total[5m])\n```";
    check(metrics_unknown(&page(text)), "3: there is no metric `ledger_commit_total`");
    let text = "`ron-ledgerctl cap mint` `target/ron-ledgerctl`\n`ron-ledgerctl fly`";
    check(commands_unknown(&page(text)), "2: `ron-ledgerctl fly`: no command fly");
    let text =
        "```sh\nsudo ron-ledgerctl \\\n supply --json | jq .\nron-ledgerctl supply --jason\n```";
    let expected = "4: `ron-ledgerctl supply --jason`: unexpected argument found";
    check(commands_unknown(&page(text)), expected);
}

#[test]
fn routes_and_tests_are_read_off_the_code() {
    let code = "pub fn api() { .service(get(\"/a/{b}*\", x)) }\nfn ledger_routes() { \
                .service(post(\"/ingest\", x)) }\nfn operators_routes() { \
                .service(get(\"/a/{b}\", x)) }\npub fn admin_routes() { \
                .service(post(\"/o\", x)) }\nfn get(";
    let manual = "\n## Routes\n\n| `POST /ingest` | API |\n| `GET /a/{b}?c=` | both |\n\
                  | `POST /o` | admin |\n\n## Next\n| `GET /x` |";
    assert_eq!(routes_of(code), routes_told(manual));
    assert_eq!(routes_of(code).len(), 4);
    let text = "#[test]\nfn one() { if a { } }\nmod inner { #[actix_rt::test]\nasync fn two() {} }\n\
                fn no() {}\nproptest! { #[test]\nfn three(a in b) {} }";
    let source = Source::new("tests/it/x.rs", text, false);
    assert_eq!(tests_of(&source, "x"), ["x::one", "x::inner::two", "x::three"]);
}

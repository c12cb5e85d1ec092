//! The command line as a whole: its examples, its exit codes, and what it never shows.

use clap::{CommandFactory as _, Parser as _};

use super::*;

/// Every command that does something, with the way to it.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        let path = format!("{path} {}", child.get_name());
        match child.has_subcommands() {
            true => leaves(child, &path, found),
            false => found.push((path, child.clone())),
        }
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// An example that does not parse is worse than none.
#[test]
fn the_help_of_each_command_has_examples_that_parse() {
    let mut found = Vec::new();
    leaves(&Cli::command(), "ron-ledgerctl", &mut found);
    assert!(found.len() >= 17, "{}", found.len());
    for (path, command) in found {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<_> =
            help.lines().filter_map(|line| line.strip_prefix("  ").map(str::trim)).collect();
        assert!(!examples.is_empty(), "{path} has no example");
        for example in examples {
            assert!(example.starts_with(&path), "{example} is not of {path}");
            let line = example.split('>').next().unwrap_or_default();
            if let Err(error) = Cli::try_parse_from(line.split_whitespace()) {
                panic!("{example}: {error}");
            }
        }
        assert!(command.get_about().is_some(), "{path} does not say what it does");
    }
}

#[test]
fn a_token_is_never_in_debug_nor_in_an_error() {
    let secret = "MDAxYnNlY3JldA not a token";
    let line = ["ron-ledgerctl", "--token", secret, "supply"];
    let cli = Cli::try_parse_from(line).unwrap();
    assert!(!format!("{cli:?}").contains("MDAx"), "{cli:?}");
    let error = cli.run().unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(!format!("{error} {error:?}").contains("MDAx"), "{error:?}");
}

#[test]
fn failures_have_their_exit_codes() {
    let check = |line: &str, expected: Exit| {
        let words = ["ron-ledgerctl"].into_iter().chain(line.split_whitespace());
        let error = Cli::try_parse_from(words).unwrap().run().unwrap_err();
        assert_eq!(error.exit(), expected, "{line}: {error}");
    };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check(&format!("supply --url http://{free}"), Exit::Unreachable);
    check("supply --url nonsense", Exit::Usage);
    check("ingest --file /nowhere/entries.jsonl", Exit::Usage);
    check("config check --file /nowhere/ledger.toml", Exit::Usage);
    check("workload --accounts 1", Exit::Usage);
    check("cap inspect --token-file /nowhere/token", Exit::Usage);
    check("cap attenuate --token c2VjcmV0", Exit::Usage);
}

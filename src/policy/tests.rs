//! What a rule file says, and what it must not say.

use super::*;
use crate::ledger::names::AccountId;
use crate::ledger::testing::{atomic, entry, entry_of, request};

const EXAMPLE: &str = include_str!("../../configs/policy.example.toml");

fn to(mut entry: Entry, counterparty: &str) -> Entry {
    entry.counterparty = Some(AccountId::new(counterparty).unwrap());
    entry
}

fn transfer(from: &str, counterparty: &str, amount: u128) -> Entry {
    to(entry(Kind::Transfer, from, amount), counterparty)
}

/// `name` where it is allowed, `name: why` where it is denied.
fn told(policy: &Policy, entries: Vec<Entry>, now_ms: u64) -> Vec<String> {
    let request = request(entries);
    told_of(policy, &request, now_ms)
}

fn told_of(policy: &Policy, request: &Request, now_ms: u64) -> Vec<String> {
    let flows = policy.flows(request).into_iter();
    let judged = flows.zip(&request.items).map(|(flow, item)| {
        let verdict = policy.judge(&item.entry, flow, now_ms);
        match verdict.outcome {
            Ok(_) => verdict.by.to_owned(),
            Err(why) => format!("{}: {why:?}", verdict.by),
        }
    });
    judged.collect()
}

fn check(policy: &Policy, entry: Entry, expected: &str) {
    let shown = format!("{entry:?}");
    assert_eq!(told(policy, vec![entry], 0), [expected], "{shown}");
}

#[test]
fn without_a_file_everything_is_allowed() {
    let policy = Policy::default();
    assert!(policy.is_empty());
    check(&policy, transfer("a", "b", u128::MAX), "default");
    assert!(!Policy::parse("default = \"deny\"").unwrap().is_empty());
}

#[test]
fn the_first_rule_that_decides_does() {
    let policy = Policy::parse(
        r#"default = "deny"
        [[rule]]
        name = "cap"
        effect = "limit"
        entry_max = 10
        [[rule]]
        name = "psp"
        effect = "allow"
        kinds = ["Hold", "Capture"]
        accounts = ["psp/"]
        [[rule]]
        name = "no-psp"
        effect = "deny"
        accounts = ["psp/"]
        [[rule]]
        name = "ron"
        effect = "allow"
        assets = ["X", "RON"]"#,
    )
    .unwrap();
    assert_eq!(policy.rules_count(), 4);
    check(&policy, entry(Kind::Hold, "psp/a", 10), "psp");
    check(&policy, entry(Kind::Hold, "psp/a", 11), "cap: EntryMax");
    check(&policy, entry(Kind::Mint, "psp/a", 1), "no-psp: Denied");
    check(&policy, entry(Kind::Mint, "psp", 1), "ron");
    check(&policy, entry_of(Kind::Mint, "a", 1, "USD"), "default: NotAllowed");
    check(&policy, entry_of(Kind::Mint, "a", 1, "X"), "ron");
}

#[test]
fn the_example_does_what_its_comments_say() {
    let policy = Policy::parse(EXAMPLE).unwrap();
    check(&policy, transfer("shop/1", "blocked/x", 1), "denied-parties: Denied");
    check(&policy, entry(Kind::Mint, "treasury/1", 1_000_000), "mint-by-the-treasury");
    check(&policy, entry(Kind::Mint, "treasury/1", 1_000_001), "mint-ceiling: EntryMax");
    check(&policy, entry(Kind::Mint, "shop/1", 1), "no-other-mint: Denied");
    check(&policy, entry_of(Kind::Mint, "treasury/1", 1, "USD"), "no-other-mint: Denied");
    check(&policy, transfer("shop/1", "shop/2", 50_000), "default");
    check(&policy, transfer("shop/1", "shop/2", 50_001), "till-payouts: EntryMax");
    check(&policy, transfer("eu/1", "eu/2", 1), "default");
    check(&policy, transfer("eu/1", "us/2", 1), "residency: Crosses");
    check(&policy, transfer("eu/1", "shop/2", 1), "residency: Crosses");
    check(&policy, transfer("bank/eu/1", "bank/us/2", 1), "settlement");
    check(&policy, transfer("bank/eu/1", "us/2", 1), "residency: Crosses");
    check(&policy, to(entry(Kind::Hold, "eu/1", 1), "us/1"), "residency: Crosses");
    check(&policy, entry(Kind::Hold, "eu/1", 1), "default");
}

#[test]
fn windows_count_what_is_let_through_each_for_its_own() {
    let policy = Policy::parse(EXAMPLE).unwrap();
    let pay = |from: &str, amount, now| told(&policy, vec![transfer(from, "shop/9", amount)], now);
    for _ in 0..10 {
        assert_eq!(pay("shop/1", 50_000, 0), ["default"]);
    }
    assert_eq!(pay("shop/1", 1, 0), ["till-payouts: WindowFull"]);
    assert_eq!(pay("shop/2", 1, 0), ["default"]);
    let hours = |hours: u64| hours * 3_600_000;
    assert_eq!(pay("shop/1", 1, hours(24) - 1), ["till-payouts: WindowFull"]);
    assert_eq!(pay("shop/1", 1, hours(27)), ["default"]);
}

#[test]
fn what_is_refused_in_one_window_takes_nothing_from_another() {
    let policy = Policy::parse(
        r#"default = "allow"
        [[rule]]
        name = "wide"
        effect = "limit"
        window = "1h"
        window_max = 10
        [[rule]]
        name = "narrow"
        effect = "limit"
        window = "1h"
        window_max = 3
        per = "account"
        [[rule]]
        name = "no-burn"
        effect = "deny"
        kinds = ["Burn"]"#,
    )
    .unwrap();
    for _ in 0..5 {
        check(&policy, entry(Kind::Mint, "a", 4), "narrow: WindowFull");
        check(&policy, entry(Kind::Burn, "a", 3), "no-burn: Denied");
    }
    for account in ["a", "b", "c"] {
        check(&policy, entry(Kind::Mint, account, 3), "default");
    }
    check(&policy, entry(Kind::Mint, "d", 2), "wide: WindowFull");
    let verdict = policy.judge(&entry(Kind::Mint, "d", 1), Flow::default(), 0);
    assert_eq!((verdict.by, verdict.counts_for), ("default", vec!["wide", "narrow"]));
    verdict.outcome.unwrap().into_iter().for_each(Reserved::refund);
    check(&policy, entry(Kind::Mint, "d", 1), "default");
}

#[test]
fn a_new_file_goes_on_counting_where_the_window_is_the_same() {
    let file = |window: &str, most: u64| {
        let text = format!(
            "default = \"allow\"\n[[rule]]\nname = \"w\"\neffect = \"limit\"\n\
             window = \"{window}\"\nwindow_max = {most}"
        );
        Policy::parse(&text).unwrap()
    };
    let first = file("1h", 10);
    let verdict = first.judge(&entry(Kind::Mint, "a", 10), Flow::default(), 0);
    let mut higher = file("1h", 12);
    higher.succeed(&first);
    check(&higher, entry(Kind::Mint, "a", 3), "w: WindowFull");
    check(&higher, entry(Kind::Mint, "a", 2), "default");
    // What the older file reserved is given back to the newer one.
    verdict.outcome.unwrap().into_iter().for_each(Reserved::refund);
    check(&higher, entry(Kind::Mint, "a", 10), "default");
    let mut longer = file("2h", 10);
    longer.succeed(&higher);
    check(&longer, entry(Kind::Mint, "a", 10), "default");
}

const BORDER: &str = r#"default = "allow"
[[region]]
name = "eu"
accounts = ["eu/"]
[[region]]
name = "us"
accounts = ["us/"]
"#;

#[test]
fn the_legs_of_a_posting_cross_as_a_transfer_does() {
    let policy = Policy::parse(BORDER).unwrap();
    let leg = |kind, account: &str, asset: &str| entry_of(kind, account, 5, asset);
    let (debit, credit) = (Kind::Debit, Kind::Credit);
    let crossing = || vec![leg(debit, "eu/a", "RON"), leg(credit, "us/a", "RON")];
    assert_eq!(told(&policy, crossing(), 0), ["residency: Crosses"; 2]);
    assert_eq!(told_of(&policy, &atomic(crossing()), 0), ["residency: Crosses"; 2]);
    // Each asset stays where it is.
    let swap = vec![
        leg(debit, "eu/a", "RON"),
        leg(credit, "us/a", "USD"),
        leg(credit, "eu/b", "RON"),
        leg(debit, "us/b", "USD"),
    ];
    assert_eq!(told(&policy, swap, 0), ["default"; 4]);
    // By way of an account that is nowhere.
    let around = vec![leg(debit, "eu/a", "RON"), leg(credit, "x/a", "RON")];
    assert_eq!(told(&policy, around, 0), ["residency: Crosses"; 2]);
    let two = [crossing(), vec![leg(debit, "eu/a", "RON"), leg(credit, "eu/b", "RON")]].concat();
    let expected = ["residency: Crosses", "residency: Crosses", "default", "default"];
    assert_eq!(told(&policy, two, 0), expected);
}

#[test]
fn a_crossing_is_allowed_by_a_rule_that_names_it_alone() {
    let rules = r#"
    [[rule]]
    name = "not-to-elsewhere"
    effect = "deny"
    to = ["elsewhere"]
    [[rule]]
    name = "small"
    effect = "limit"
    from = ["us"]
    to = ["eu"]
    entry_max = 5
    [[rule]]
    name = "wide"
    effect = "allow"
    kinds = ["Transfer"]
    [[rule]]
    name = "import"
    effect = "allow"
    from = ["us"]
    to = ["eu"]"#;
    let policy = Policy::parse(&format!("{BORDER}{rules}")).unwrap();
    check(&policy, transfer("eu/a", "eu/b", 9), "wide");
    check(&policy, transfer("us/a", "eu/b", 5), "import");
    check(&policy, transfer("us/a", "eu/b", 6), "small: EntryMax");
    check(&policy, transfer("eu/a", "us/b", 5), "residency: Crosses");
    check(&policy, transfer("eu/a", "x", 5), "not-to-elsewhere: Denied");
    check(&policy, transfer("x", "y", 9), "wide");
}

fn refused(text: &str, parts: &[&str]) {
    let error = Policy::parse(text).expect_err(text).to_string();
    for part in parts {
        assert!(error.contains(part), "{part} not in: {error}");
    }
}

#[test]
fn unknown_keys_are_refused_and_name_the_nearest() {
    refused("defualt = \"allow\"", &["unknown key `defualt`", "did you mean `default`?"]);
    let rule = |more: &str| {
        format!("default = \"allow\"\n[[rule]]\nname = \"r\"\neffect = \"deny\"\n{more}")
    };
    refused(&rule("acounts = []"), &["rule 1 (r): ", "did you mean `accounts`?"]);
    refused(&rule("kinds = [\"Mnit\"]"), &["rule 1 (r): kinds: ", "did you mean `Mint`?"]);
    refused(&rule("kinds = [\"Expire\"]"), &["is no kind of a client's"]);
    refused(&rule("from = [\"elswhere\"]"), &["did you mean `elsewhere`?"]);
    refused("default = \"allow\"\n[[region]]\nnames = \"x\"", &["region 1: ", "`name`"]);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let rule = |text: &str| format!("default = \"allow\"\n[[rule]]\nname = \"r\"\n{text}");
    refused("", &["default: ", "allow"]);
    refused("default = \"maybe\"", &["default: "]);
    refused("default = ", &[]);
    refused("default = 3\nrule = 5", &[]);
    for (text, part) in [
        ("effect = \"block\"", "effect: say"),
        ("effect = \"deny\"\nentry_max = 1", "entry_max: needs effect"),
        ("effect = \"limit\"", "needs entry_max"),
        ("effect = \"limit\"\nwindow_max = 1", "window: say how long"),
        ("effect = \"limit\"\nwindow = \"1h\"", "needs window_max or window_entries_max"),
        ("effect = \"limit\"\nwindow = \"1ms\"\nwindow_max = 1", "1s to 31days"),
        ("effect = \"limit\"\nwindow = \"32days\"\nwindow_max = 1", "1s to 31days"),
        ("effect = \"limit\"\nwindow = \"1h\"\nwindow_max = 1\nper = \"asset\"", "per: say"),
        ("effect = \"limit\"\nwindow = \"1h\"\nwindow_max = 1\nwindow_keys_max = 0", "at least 1"),
        ("effect = \"limit\"\nentry_max = \"1e9\"", "whole number of atoms"),
        ("effect = \"limit\"\nentry_max = -1", "whole number of atoms"),
        ("effect = \"limit\"\nentry_max = 1.5", "whole number of atoms"),
        ("effect = \"deny\"\nkinds = []", "kinds: names nothing"),
        ("effect = \"deny\"\naccounts = [\"\"]", "accounts: "),
        ("effect = \"deny\"\naccounts = [\"a b\"]", "accounts: "),
        ("effect = \"deny\"\nassets = [\"ron\"]", "assets: "),
        ("effect = \"deny\"\n[[rule]]\nname = \"r\"\neffect = \"deny\"", "`r` is taken"),
    ] {
        refused(&rule(text), &["rule ", "(r): ", part]);
    }
    for name in ["", "Rule", "a b", "default", "residency", &"x".repeat(65)] {
        let text = format!("default = \"allow\"\n[[rule]]\nname = \"{name}\"\neffect = \"deny\"");
        refused(&text, &["rule 1", "name: "]);
    }
    refused(&format!("{BORDER}[[region]]\nname = \"eu\"\naccounts = [\"x\"]"), &["is taken"]);
    refused(&format!("{BORDER}[[region]]\nname = \"x\"\naccounts = [\"eu/\"]"), &["given twice"]);
    refused("default = \"deny\"\n[[region]]\nname = \"elsewhere\"\naccounts = [\"x\"]", &["taken"]);
}

#[test]
fn a_file_is_bounded_in_each_way() {
    let many = |count: usize, text: &dyn Fn(usize) -> String| -> String {
        let parts = (0..count).map(text).collect::<Vec<_>>();
        format!("default = \"allow\"\n{}", parts.join("\n"))
    };
    let deny = |at| format!("[[rule]]\nname = \"r{at}\"\neffect = \"deny\"");
    assert_eq!(Policy::parse(&many(RULES_MAX, &deny)).unwrap().rules_count(), RULES_MAX);
    refused(&many(RULES_MAX + 1, &deny), &["rule: at most 256"]);
    let region = |at| format!("[[region]]\nname = \"r{at}\"\naccounts = [\"r{at}/\"]");
    assert!(Policy::parse(&many(names::REGIONS_MAX, &region)).is_ok());
    refused(&many(names::REGIONS_MAX + 1, &region), &["region: at most 64"]);
    let prefixes = |count: usize| {
        let prefixes: Vec<String> = (0..count).map(|at| format!("\"p{at}\"")).collect();
        format!("{}\naccounts = [{}]", many(1, &deny), prefixes.join(","))
    };
    assert!(Policy::parse(&prefixes(PREFIXES_MAX)).is_ok());
    refused(&prefixes(PREFIXES_MAX + 1), &["at most 4096 prefixes"]);
    let window = |at| {
        let rule = format!("[[rule]]\nname = \"r{at}\"\neffect = \"limit\"");
        format!("{rule}\nwindow = \"1h\"\nwindow_max = 1")
    };
    assert!(Policy::parse(&many(16, &window)).is_ok());
    refused(&many(17, &window), &["rule 17 (r16): window_keys_max: "]);
    let long = format!("default = \"allow\"\n#{}", "x".repeat(FILE_BYTES_MAX));
    refused(&long, &["longer than 1048576 bytes"]);
}

#[test]
fn no_text_makes_the_reader_panic() {
    use rand::{RngExt as _, SeedableRng as _};
    let mut dice = rand::rngs::StdRng::seed_from_u64(5);
    for _ in 0..2000 {
        let mut text = EXAMPLE.as_bytes().to_vec();
        for _ in 0..dice.random_range(1..6) {
            let at = dice.random_range(0..text.len());
            match dice.random_range(0..3) {
                0 => text[at] = dice.random_range(0x20..0x7f),
                1 => drop(text.drain(at..(at + 9).min(text.len()))),
                _ => text.truncate(at.max(1)),
            }
        }
        drop(Policy::parse(std::str::from_utf8(&text).unwrap()));
    }
}

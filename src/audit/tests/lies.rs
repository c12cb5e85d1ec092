//! An operator who has the key can sign any log: only the replay finds what breaks the rules.

use super::*;

/// Changes a good log, which is then hashed and signed anew.
fn check(what: &str, seq: Seq, check: Check, change: impl FnOnce(&mut Log)) {
    let mut log = log_of_all_kinds(HashAlgo::Blake3);
    change(&mut log);
    let report = log.verify();
    let problem = report.problem.unwrap_or_else(|| panic!("{what} is not found"));
    let expected = (Some(seq), check, Some(seq + 1));
    assert_eq!((problem.seq, problem.check, problem.line), expected, "{what}: {problem:?}");
    assert_eq!(report.entries, report.entries.min(seq - 1), "{what}");
}

fn amount(entry: &mut Sequenced, amount: u128) {
    entry.entry.amount = crate::ledger::entry::Amount::new(amount).unwrap();
}

#[test]
fn value_out_of_nothing_is_found() {
    check("an overdraft", 2, Check::Replay, |log| amount(log.first(Kind::Transfer), 101));
    check("a burn of what is not there", 9, Check::Replay, |log| {
        let at = log.entries.iter().position(|(_, e)| e.entry.kind == Kind::Expire).unwrap();
        log.entries[at].1 =
            Sequenced { entry: entry(Kind::Burn, "alice", 900), ..log.entries[at].1 };
    });
    check("a credit above its debit", 6, Check::Replay, |log| {
        amount(log.first(Kind::Credit), 4);
    });
    check("a leg alone", 6, Check::Replay, |log| log.first(Kind::Debit).linked = false);
    check("a hold of more than there is", 3, Check::Replay, |log| {
        amount(log.first(Kind::Hold), 71);
    });
}

#[test]
fn holds_and_reversals_follow_their_rules() {
    check("a capture above its hold", 8, Check::Replay, |log| {
        amount(log.first(Kind::Capture), 41);
    });
    check("a capture of nothing", 8, Check::Replay, |log| {
        log.first(Kind::Capture).entry.reference = Some(EntryId::from_bytes([9; 16]));
    });
    check("a capture by another account", 8, Check::Replay, |log| {
        log.first(Kind::Capture).entry.account = AccountId::new("carol").unwrap();
    });
    check("a release of what is captured", 10, Check::Replay, |log| {
        log.first(Kind::Capture).entry.keep_open = false;
    });
    check("a reversal of another amount", 11, Check::Replay, |log| {
        amount(log.first(Kind::Reverse), 29);
    });
    check("a second reversal", 14, Check::Replay, |log| {
        let (reference, account) = {
            let first = log.first(Kind::Reverse);
            (first.entry.reference, first.entry.account.clone())
        };
        let last = &mut log.entries[13].1;
        amount(last, 30);
        (last.entry.reference, last.entry.account) = (reference, account);
    });
}

#[test]
fn expiries_are_the_ledgers_own_and_on_time() {
    check("an expiry before its time", 9, Check::Replay, |log| {
        log.entries[2..].iter_mut().for_each(|(time, _)| *time = 1_030);
    });
    check("an expiry of another amount", 9, Check::Replay, |log| {
        amount(log.first(Kind::Expire), 6);
    });
    check("an expiry with another id", 9, Check::Replay, |log| {
        log.first(Kind::Expire).entry.id = EntryId::from_bytes([0x80; 16]);
    });
    check("a client with an id of the ledger", 1, Check::Replay, |log| {
        log.first(Kind::Mint).entry.id = EntryId::from_bytes([0x80; 16]);
    });
    check("a capture after the expiry", 8, Check::Replay, |log| {
        log.entries[5..].iter_mut().for_each(|(time, _)| *time = 9_000);
    });
    check("a hold that is due at once", 3, Check::Replay, |log| {
        log.first(Kind::Hold).entry.expires_at = Some(1_020);
    });
}

#[test]
fn ids_and_tuples_are_there_once() {
    check("an id twice", 2, Check::Uniqueness, |log| {
        log.first(Kind::Transfer).entry.id = log.entries[0].1.entry.id;
    });
    check("a tuple twice", 12, Check::Uniqueness, |log| {
        let (first, again) = (log.entries[0].1.entry.clone(), log.entries.len());
        let burn = log.first(Kind::Burn);
        burn.entry.amount = first.amount;
        burn.entry.nonce = first.nonce;
        assert_eq!((burn.seq, again), (12, 14));
    });
    check("the same once more", 12, Check::Uniqueness, |log| {
        let first = log.entries[0].1.entry.clone();
        log.first(Kind::Burn).entry = Entry { ts: 5, ..first };
    });
}

#[test]
fn units_and_groups_are_whole_and_in_order() {
    check("a unit over the end", 14, Check::Replay, |log| log.entries[13].1.linked = true);
    check("a unit over two groups", 8, Check::Replay, |log| log.first(Kind::Capture).linked = true);
}

#[test]
fn times_do_not_go_back() {
    check("a time before the last", 3, Check::Replay, |log| {
        log.entries[2..5].iter_mut().for_each(|e| e.0 = 1_009)
    });
}

/// Found from the state alone in a whole log; in a part what can be seen of it is found.
#[test]
fn a_part_shows_what_needs_no_state() {
    let check = |what: &str, seq: Seq, expected: Check, change: &dyn Fn(&mut Log)| {
        let mut log = log_of_all_kinds(HashAlgo::Blake3);
        change(&mut log);
        let report = Place::new().verify(&log.export(3, 14));
        let problem = report.problem.unwrap_or_else(|| panic!("{what} is not found"));
        assert_eq!((problem.seq, problem.check), (Some(seq), expected), "{what}: {problem:?}");
        assert_eq!(problem.line, Some(seq - 1));
    };
    check("an id twice", 5, Check::Uniqueness, &|log| {
        log.entries[4].1.entry.id = log.entries[3].1.entry.id;
    });
    check("a tuple twice", 12, Check::Uniqueness, &|log| {
        let hold = log.entries[2].1.entry.clone();
        let burn = log.first(Kind::Burn);
        burn.entry.amount = hold.amount;
        burn.entry.nonce = hold.nonce;
    });
    check("a posting that does not net", 6, Check::Units, &|log| {
        amount(log.first(Kind::Credit), 4)
    });
    check("an id of the ledger", 6, Check::Units, &|log| {
        log.first(Kind::Debit).entry.id = EntryId::from_bytes([0x80; 16]);
    });
    check("a time before the last", 6, Check::Units, &|log| log.entries[5].0 = 1_001);
}

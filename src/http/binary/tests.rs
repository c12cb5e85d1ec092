//! That both forms say the same, that nothing but a form is taken for one, and that the manual's bytes
//! are these.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::client::unit::to_wire;
use crate::http::Format;
use crate::http::dto::{AnswerOut, Atoms, ReasonOut, Receipts, ResultOut, Status};
use crate::http::parse::{Parsed, Rules, parse, parse_binary};
use crate::ledger::names::Asset;
use crate::ledger::reason::{Reason, Reject};
use crate::ledger::testing::any_sequenced;

/// Of the requests here; small, so that it is met often.
const BATCH_MAX: usize = 6;

fn json(body: &[u8]) -> Result<Parsed, Reject> {
    let default_asset = Asset::new("RON").unwrap();
    parse(body, &Rules { default_asset: &default_asset, batch_max_entries: BATCH_MAX })
}

fn binary(body: &[u8]) -> Result<Parsed, Reject> {
    let default_asset = Asset::new("RON").unwrap();
    parse_binary(body, &Rules { default_asset: &default_asset, batch_max_entries: BATCH_MAX })
}

/// The reason of a reject, and the place that it names.
fn place(reject: Reject) -> (Reason, String) {
    let place = reject.details.split(": ").next().unwrap().to_owned();
    (reject.reason, place)
}

/// A request that says what was read.
fn request_of(parsed: &Parsed) -> RequestIn<'static> {
    let idem_id = parsed.entries[0].idem_id.as_ref().map(|id| id.to_string().into());
    let batch = parsed.entries.iter().map(to_wire).collect();
    RequestIn { batch, idem_id, atomic: parsed.atomic }
}

/// Changes of one entry. Most make it unfit.
const CHANGES: &[fn(&mut EntryIn<'static>)] = &[
    |_| (),
    |entry| entry.asset = None,
    |entry| entry.id = "0190b6c0-0000-8000-8000-000000000001".into(),
    |entry| entry.kind = "Expire".into(),
    |entry| entry.kind = "Release".into(),
    |entry| entry.account = "".into(),
    |entry| entry.account = "a b".into(),
    |entry| entry.account = "caf\u{e9}".into(),
    |entry| entry.account = "a".repeat(200).into(),
    |entry| entry.amount = Atoms(0),
    |entry| entry.amount = Atoms(u128::MAX),
    |entry| entry.capability_ref = "a/b".into(),
    |entry| entry.v = 2,
    |entry| entry.counterparty = Some(entry.account.clone()),
    |entry| entry.counterparty = Some("".into()),
    |entry| entry.counterparty = None,
    |entry| entry.reference = None,
    |entry| entry.asset = Some("ron".into()),
    |entry| entry.asset = Some("".into()),
    |entry| entry.expires_at = Some(5),
    |entry| entry.keep_open = true,
];

fn any_request() -> impl Strategy<Value = RequestIn<'static>> {
    let changes = prop::sample::select(CHANGES);
    let one = (any_sequenced(), prop::bool::weighted(0.3), changes.clone(), changes);
    let entry = one.prop_map(|(sequenced, changed, first, second)| {
        let mut entry = to_wire(&sequenced.entry);
        if changed {
            first(&mut entry);
            second(&mut entry);
        }
        entry
    });
    let idem_id = prop::option::of(prop::sample::select(vec!["i/1", "", "a b", "order:7"]));
    let batch = prop::collection::vec(entry, 0..=BATCH_MAX + 1);
    (batch, idem_id, any::<bool>()).prop_map(|(batch, idem_id, atomic)| RequestIn {
        batch,
        idem_id: idem_id.map(Into::into),
        atomic,
    })
}

fn any_answer() -> impl Strategy<Value = AnswerOut<'static>> {
    let root = ("[0-9a-f]{64}", any::<u64>(), prop::sample::select(vec!["fsync", "memory"]));
    let asked = prop::sample::select(vec![None, Some(Receipts::Given), Some(Receipts::NotYet)]);
    let rows = prop::collection::vec((0..3u8, any::<u64>(), "\\PC{0,40}"), 0..9);
    (root, asked, rows).prop_map(|((new_root, root_size, durability), receipts, rows)| {
        let (mut reasons, mut results) = (Vec::new(), Vec::new());
        for (idx, (status, seq, text)) in rows.into_iter().enumerate() {
            let status = [Status::Committed, Status::Replayed, Status::Rejected][status as usize];
            let seq = Some(seq).filter(|_| status != Status::Rejected);
            if seq.is_none() {
                let (reason, details) = ("conflict".into(), text.clone().into());
                reasons.push(ReasonOut { idx, reason, details });
            }
            let receipt = seq.filter(|_| receipts == Some(Receipts::Given)).map(|_| text);
            results.push(ResultOut { idx, status, seq, receipt });
        }
        let new = || results.iter().filter(|one| one.status == Status::Committed);
        AnswerOut {
            accepted: results.len() - reasons.len(),
            seq_start: new().next().and_then(|one| one.seq),
            seq_end: new().next_back().and_then(|one| one.seq),
            new_root: new_root.into(),
            root_size,
            durability: durability.into(),
            reasons,
            results,
            receipts,
        }
    })
}

proptest! {
    /// The same entries; or the same reason, of the same place.
    #[test]
    fn both_forms_of_a_request_are_one_request(request in any_request()) {
        let told = json(&serde_json::to_vec(&request).unwrap()).map_err(place);
        let bytes = write(&request).unwrap();
        prop_assert_eq!(binary(&bytes).map_err(place), told);
    }

    #[test]
    fn both_forms_of_an_answer_are_one_answer(answer in any_answer()) {
        let bytes = answer::write(&answer).unwrap();
        let text = serde_json::to_vec(&answer).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<AnswerOut<'_>>(&text).unwrap(), &answer);
        for end in 0..bytes.len() {
            prop_assert!(answer::read(&bytes[..end]).is_none(), "cut at {}", end);
        }
        let mut seen = Vec::new();
        prop_assert_eq!(answer::visit(&bytes, |status, seq| seen.push((status, seq))), Some(()));
        let told = answer.results.iter().map(|result| (result.status, result.seq));
        prop_assert_eq!(seen, told.collect::<Vec<_>>());
        prop_assert_eq!(answer::read(&bytes), Some(answer));
    }

    /// What is read is what is written: an answer has one form.
    #[test]
    fn a_broken_answer_is_none_or_another_one(answer in any_answer(), at in any::<Index>(), bit in 0..8) {
        let mut bytes = answer::write(&answer).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        if let Some(other) = answer::read(&bytes) {
            prop_assert_eq!(answer::write(&other).unwrap(), bytes);
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let batch = [&BATCH_MAGIC[..], &[VERSION], &bytes].concat();
        for body in [&bytes[..], &batch] {
            if let Err(reject) = binary(body) {
                prop_assert!(matches!(reject.reason, Reason::UnknownKind | Reason::TooLarge));
            }
        }
        answer::read(&bytes);
    }
}

/// A request of a Hold, of a Capture of it, and of a Mint, with all that a request can have.
fn good() -> Vec<u8> {
    let entry = |kind: &str, id: u8| EntryIn {
        id: format!("0190b6c0-0000-7000-8000-0000000000{id:02}").into(),
        ts: 1_700_000_000_000,
        kind: kind.to_owned().into(),
        account: "acct:alice".into(),
        amount: Atoms(7),
        nonce: "AAECAwQFBgcICQoLDA0ODw==".into(),
        capability_ref: "cap-1".into(),
        v: 1,
        counterparty: None,
        reference: None,
        asset: None,
        expires_at: None,
        keep_open: false,
    };
    let hold = EntryIn { expires_at: Some(1 << 50), ..entry("Hold", 1) };
    let capture = EntryIn {
        counterparty: Some("bob".into()),
        reference: Some(hold.id.clone()),
        keep_open: true,
        asset: Some("USD".into()),
        ..entry("Capture", 2)
    };
    let batch = vec![hold, capture, entry("Mint", 3)];
    write(&RequestIn { batch, idem_id: Some("order/7".into()), atomic: true }).unwrap()
}

#[test]
fn every_cut_body_is_refused() {
    let good = good();
    assert_eq!(binary(&good).unwrap().entries.len(), 3);
    for end in 0..good.len() {
        assert_eq!(binary(&good[..end]).unwrap_err().reason, Reason::UnknownKind, "{end}");
    }
    let longer = [&good[..], &[0]].concat();
    let reject = binary(&longer).unwrap_err();
    assert_eq!(reject.details, "body: has bytes after the last entry");
}

/// What is still a request after a flip is the request that the JSON of the same entries is.
#[test]
fn every_flipped_bit_is_refused_or_reads_as_another_request() {
    let (good, mut taken) = (good(), 0);
    for bit in 0..good.len() * 8 {
        let mut body = good.clone();
        body[bit / 8] ^= 1 << (bit % 8);
        match binary(&body) {
            Ok(parsed) => {
                let text = serde_json::to_vec(&request_of(&parsed)).unwrap();
                let receipt = parsed.receipt;
                assert_eq!(json(&text).map(|read| Parsed { receipt, ..read }), Ok(parsed), "{bit}");
                taken += 1;
            }
            Err(reject) => {
                let fit = matches!(reject.reason, Reason::UnknownKind | Reason::TooLarge);
                assert!(fit && reject.details.len() <= 512, "{bit}: {reject:?}");
            }
        }
    }
    assert!(taken > 100, "clocks, ids and nonces are free: {taken}");
}

#[test]
fn each_fault_is_told_with_its_place() {
    let good = good();
    // The head has 18 bytes with its idem_id; then comes the first entry.
    let first = 18;
    let check = |changes: &[(usize, u8)], reason: Reason, details: &str| {
        let mut body = good.clone();
        changes.iter().for_each(|&(at, value)| body[at] = value);
        let reject = binary(&body).expect_err(details);
        assert_eq!((reject.reason, &*reject.details), (reason, details));
    };
    let unfit = Reason::UnknownKind;
    check(&[(0, b'{')], unfit, "body: does not begin as a batch in the binary form");
    check(&[(4, 2)], unfit, "body: is of an unknown version of the binary form");
    check(&[(5, 0x0d)], unfit, "body: has an unknown flag");
    check(&[(9, 0)], unfit, "batch: must have at least one entry");
    check(&[(9, 2)], unfit, "body: has bytes after the last entry");
    check(&[(9, 4)], unfit, "batch[3].v: the body ends in it");
    let above = "batch: has 7 entries, at most 6 may come at once";
    check(&[(9, 7)], Reason::TooLarge, above);
    // Too many come before every other fault, and before any of them is looked at.
    check(&[(9, 7), (5, 0xff), (first, 9)], Reason::TooLarge, above);
    let most = "batch: has 4294967295 entries, at most 6 may come at once";
    check(&[(6, 255), (7, 255), (8, 255), (9, 255)], Reason::TooLarge, most);
    let set = "idem_id: must consist of letters, digits and . _ : @ / -";
    check(&[(11, 0xff)], unfit, set);
    check(&[(first, 2)], unfit, "batch[0].v: must be 1");
    for unknown in [0x01, 0x20, 0x80] {
        let flags = 0x10 | unknown;
        check(&[(first + 1, flags)], unfit, "batch[0].flags: has one that no entry has");
    }
    check(&[(first + 10, 10)], unfit, "batch[0].kind: Expire is made by the ledger alone");
    let kinds = "batch[0].kind: must be one of Mint, Burn, Transfer, Credit, Debit, Hold, Capture, \
                 Release, Reverse";
    check(&[(first + 10, 11)], unfit, kinds);
    check(&[(first + 10, 0)], unfit, kinds);
    let own = "batch[0].id: must not be a UUID of version 8, which is the ledger's own";
    check(&[(first + 17, 0x80)], unfit, own);
    check(&[(first + 53, 0)], unfit, "batch[0].amount: must be at least 1");
    let ascii = "batch[0].account: must consist of letters, digits and . _ : @ / -";
    check(&[(first + 28, 0xff)], unfit, ascii);
}

#[test]
fn receipts_are_asked_for_by_a_flag() {
    let mut body = good();
    assert!(!binary(&body).unwrap().receipt);
    body[5] |= request_flags::RECEIPT;
    assert!(binary(&body).unwrap().receipt);
}

#[test]
fn what_has_no_binary_form_goes_as_json() {
    let parsed = binary(&good()).unwrap();
    let with = |change: fn(&mut EntryIn<'static>)| {
        let mut request = request_of(&parsed);
        change(&mut request.batch[1]);
        Format::Binary.body_of(&request)
    };
    assert_eq!(with(|_| ()).format, Format::Binary);
    for change in [
        (|entry| entry.id = "x".into()) as fn(&mut EntryIn<'static>),
        |entry| entry.reference = Some("{0190b6c0-0000-7000-8000-000000000001}".into()),
        |entry| entry.kind = "mint".into(),
        |entry| entry.nonce = "AAECAwQFBgcICQoLDA0ODxA=".into(),
        |entry| entry.account = "a".repeat(256).into(),
    ] {
        let body = with(change);
        assert_eq!((body.format, body.bytes[0]), (Format::Json, b'{'));
        assert!(json(&body.bytes).is_err());
    }
}

/// The blocks of the manual's section on the wire: the JSON, the batch, the answer.
fn manual() -> [String; 3] {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/INTEROP.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let section = manual.split("\n## 8. The wire\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks: Vec<_> = section.split("```").skip(1).step_by(2).map(str::to_owned).collect();
    blocks.try_into().unwrap()
}

/// Each line has bytes in hex, and after a `#` what they are.
fn bytes_of(block: &str) -> Vec<u8> {
    let lines = block.lines().skip(1).map(|line| line.split('#').next().unwrap());
    let bytes = lines.flat_map(str::split_whitespace);
    bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn the_manual_shows_these_bytes() {
    let [text, batch, told] = manual();
    let text = text.strip_prefix("json").unwrap();
    let request: RequestIn<'_> = serde_json::from_str(text).unwrap();
    assert_eq!(write(&request).unwrap(), bytes_of(&batch));
    assert_eq!(binary(&bytes_of(&batch)), json(text.as_bytes()));
    assert!(binary(&bytes_of(&batch)).is_ok());
    let answer = AnswerOut {
        accepted: 1,
        seq_start: Some(17),
        seq_end: Some(17),
        new_root: "9f3c".repeat(16).into(),
        root_size: 17,
        durability: "memory".into(),
        reasons: vec![ReasonOut { idx: 1, reason: "conflict".into(), details: "id: used".into() }],
        results: vec![
            ResultOut { idx: 0, status: Status::Committed, seq: Some(17), receipt: None },
            ResultOut { idx: 1, status: Status::Rejected, seq: None, receipt: None },
        ],
        receipts: None,
    };
    assert_eq!(answer::write(&answer).unwrap(), bytes_of(&told));
}

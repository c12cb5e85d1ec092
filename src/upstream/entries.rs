//! What the policy guard and the wallet are asked: whether each of some entries may pass.
//!
//! Both are asked in the same form. An answer names each entry again, in order, so that one that was
//! meant for another question is told from ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::service::AskError;
use crate::ledger::entry::{Entry, EntryId, Kind};
use crate::ledger::reason::{Reason, Reject};

/// The longest name of a rule, in bytes.
const RULE_LEN_MAX: usize = 64;

/// Of an answer: what stands around the entries, and the longest that one of them takes.
const ANSWER_BYTES_BASE: usize = 256;
const ANSWER_BYTES_ENTRY: usize = 256;

/// By what right entries come, and how.
pub struct Bearing<'a> {
    /// The root key's id.
    pub kid: &'a str,
    /// The capability's id.
    pub capability: &'a str,
    /// All or nothing.
    pub atomic: bool,
}

#[derive(Serialize)]
struct QuestionOut<'a> {
    v: u8,
    kid: &'a str,
    capability: &'a str,
    atomic: bool,
    entries: Vec<EntryOut<'a>>,
}

#[derive(Serialize)]
struct EntryOut<'a> {
    id: EntryId,
    ts: u64,
    kind: &'static str,
    account: &'a str,
    asset: &'a str,
    amount: String,
    nonce: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    counterparty: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<EntryId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idem_id: Option<&'a str>,
}

impl<'a> EntryOut<'a> {
    fn of(entry: &'a Entry) -> Self {
        EntryOut {
            id: entry.id,
            ts: entry.ts,
            kind: entry.kind.as_str(),
            account: entry.account.as_str(),
            asset: entry.asset.as_str(),
            amount: entry.amount.to_string(),
            nonce: STANDARD.encode(entry.nonce),
            counterparty: entry.counterparty.as_ref().map(|name| name.as_str()),
            reference: entry.reference,
            expires_at: entry.expires_at,
            idem_id: entry.idem_id.as_ref().map(|id| id.as_str()),
        }
    }
}

/// The question in bytes.
pub fn question(bearing: &Bearing<'_>, entries: &[&Entry]) -> Vec<u8> {
    let &Bearing { kid, capability, atomic } = bearing;
    let entries = entries.iter().copied().map(EntryOut::of).collect();
    let question = QuestionOut { v: 1, kid, capability, atomic, entries };
    serde_json::to_vec(&question).expect("texts and numbers serialize")
}

/// The longest answer that is read to a question of so many entries, in bytes.
pub fn answer_bytes_max(entries: usize) -> usize {
    ANSWER_BYTES_BASE.saturating_add(entries.saturating_mul(ANSWER_BYTES_ENTRY))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerIn<D> {
    v: u8,
    answers: Vec<D>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuardIn {
    id: String,
    decision: GuardDecision,
    #[serde(default)]
    rule: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum GuardDecision {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WalletIn {
    id: String,
    decision: WalletDecision,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WalletDecision {
    Allow,
    DoubleSpend,
    InsufficientFunds,
}

/// What the guard says: for each entry the reject that follows, or none.
///
/// # Errors
/// [`AskError::Strange`] for whatever is not an answer to a question about these entries.
pub fn guards_answer(asked: &[EntryId], bytes: &[u8]) -> Result<Vec<Option<Reject>>, AskError> {
    let said = said::<GuardIn>(asked, bytes, |answer| &answer.id)?;
    let verdict = |answer: GuardIn| match (answer.decision, answer.rule) {
        (GuardDecision::Allow, None) => Ok(None),
        (GuardDecision::Deny, Some(rule)) if is_name(&rule) => {
            let details = format!("the policy guard denies it by the rule `{rule}`");
            Ok(Some(Reject::new(Reason::PolicyDenied, details)))
        }
        _ => Err(AskError::Strange("a denial without the name of a rule, or an odd one")),
    };
    said.into_iter().map(verdict).collect()
}

/// What the wallet says: for each entry the reject that follows, or none.
///
/// # Errors
/// As [`guards_answer`].
pub fn wallets_answer(asked: &[EntryId], bytes: &[u8]) -> Result<Vec<Option<Reject>>, AskError> {
    let said = said::<WalletIn>(asked, bytes, |answer| &answer.id)?;
    let verdict = |answer: WalletIn| match answer.decision {
        WalletDecision::Allow => None,
        WalletDecision::DoubleSpend => {
            Some(Reject::new(Reason::Conflict, "the wallet knows what it spends as spent"))
        }
        WalletDecision::InsufficientFunds => {
            Some(Reject::new(Reason::InsufficientFunds, "the wallet does not cover it"))
        }
    };
    Ok(said.into_iter().map(verdict).collect())
}

fn said<'d, D: Deserialize<'d>>(
    asked: &[EntryId],
    bytes: &'d [u8],
    id_of: impl Fn(&D) -> &str,
) -> Result<Vec<D>, AskError> {
    let answer: AnswerIn<D> =
        serde_json::from_slice(bytes).map_err(|_| AskError::Strange("not a list of decisions"))?;
    if answer.v != 1 {
        return Err(AskError::Strange("another version"));
    }
    let ids = answer.answers.iter().map(|one| EntryId::parse(id_of(one)));
    if !ids.eq(asked.iter().copied().map(Some)) {
        return Err(AskError::Strange("it speaks of other entries"));
    }
    Ok(answer.answers)
}

/// A rule's name goes to clients: it holds nothing that could be taken for something else.
fn is_name(rule: &str) -> bool {
    (1..=RULE_LEN_MAX).contains(&rule.len())
        && rule.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte))
}

/// Whether an entry of this kind takes from somebody, so that the wallet is asked.
pub const fn spends(kind: Kind) -> bool {
    match kind {
        Kind::Burn | Kind::Transfer | Kind::Debit | Kind::Hold | Kind::Capture | Kind::Reverse => {
            true
        }
        Kind::Mint | Kind::Credit | Kind::Release | Kind::Expire => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const IDS: [EntryId; 2] = [EntryId::from_bytes([1; 16]), EntryId::from_bytes([2; 16])];

    fn reasons(verdict: Result<Vec<Option<Reject>>, AskError>) -> Option<Vec<Option<Reason>>> {
        let reason = |reject: Option<Reject>| reject.map(|reject| reject.reason);
        Some(verdict.ok()?.into_iter().map(reason).collect())
    }

    fn of(first: Value, second: Value) -> Value {
        let row = |id: EntryId, more: Value| {
            let mut row = json!({ "id": id });
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            row
        };
        json!({ "v": 1, "answers": [row(IDS[0], first), row(IDS[1], second)] })
    }

    fn guard(answer: &Value) -> Option<Vec<Option<Reason>>> {
        reasons(guards_answer(&IDS, answer.to_string().as_bytes()))
    }

    fn wallet(answer: &Value) -> Option<Vec<Option<Reason>>> {
        reasons(wallets_answer(&IDS, answer.to_string().as_bytes()))
    }

    #[test]
    fn a_guard_allows_or_denies_by_a_rule() {
        let allow = json!({ "decision": "allow" });
        let deny = json!({ "decision": "deny", "rule": "ceiling/day-1" });
        assert_eq!(guard(&of(allow.clone(), allow.clone())), Some(vec![None, None]));
        let denied = of(allow, deny);
        assert_eq!(guard(&denied), Some(vec![None, Some(Reason::PolicyDenied)]));
        let told = guards_answer(&IDS, denied.to_string().as_bytes()).unwrap();
        assert!(told[1].as_ref().unwrap().details.contains("`ceiling/day-1`"));
    }

    #[test]
    fn a_wallet_knows_what_is_spent() {
        let answer =
            of(json!({ "decision": "double_spend" }), json!({ "decision": "insufficient_funds" }));
        let expected = vec![Some(Reason::Conflict), Some(Reason::InsufficientFunds)];
        assert_eq!(wallet(&answer), Some(expected));
        let allow = json!({ "decision": "allow" });
        assert_eq!(wallet(&of(allow.clone(), allow)), Some(vec![None, None]));
    }

    #[test]
    fn what_is_no_answer_to_the_question_allows_nothing() {
        let allow = || json!({ "decision": "allow" });
        let whole = of(allow(), allow());
        assert!(guard(&whole).is_some());
        let changed = |pointer: &str, value: Value| {
            let mut answer = whole.clone();
            *answer.pointer_mut(pointer).unwrap() = value;
            answer
        };
        let mut short = whole.clone();
        short["answers"].as_array_mut().unwrap().pop();
        let mut swapped = whole.clone();
        swapped["answers"].as_array_mut().unwrap().reverse();
        let mut more = whole.clone();
        more["note"] = json!("ok");
        for odd in [
            short,
            swapped,
            more,
            changed("/v", json!(2)),
            changed("/answers/0/id", json!("1")),
            changed("/answers/0/decision", json!("Allow")),
            changed("/answers/0/decision", json!(true)),
            changed("/answers/0/decision", json!("deny")),
            changed("/answers", json!({})),
            json!([]),
            json!(null),
        ] {
            assert_eq!(guard(&odd), None, "{odd}");
            assert_eq!(wallet(&odd), None, "{odd}");
        }
        for rule in ["", "a b", "a\nb", "\u{e9}", &"r".repeat(RULE_LEN_MAX + 1)] {
            assert_eq!(guard(&of(allow(), json!({ "decision": "deny", "rule": rule }))), None);
        }
        assert_eq!(guard(&of(allow(), json!({ "decision": "allow", "rule": "r" }))), None);
        assert_eq!(wallet(&of(allow(), json!({ "decision": "deny", "rule": "r" }))), None);
    }

    #[test]
    fn the_longest_answer_fits_its_bound() {
        let id = EntryId::from_bytes([0xff; 16]);
        let rule = "r".repeat(RULE_LEN_MAX);
        let row = json!({ "id": id, "decision": "deny", "rule": rule });
        let answer = json!({ "v": 1, "answers": vec![row; 1000] });
        let pretty = serde_json::to_string_pretty(&answer).unwrap();
        assert!(pretty.len() <= answer_bytes_max(1000), "{}", pretty.len());
        assert!(guards_answer(&[id; 1000], pretty.as_bytes()).is_ok());
    }
}

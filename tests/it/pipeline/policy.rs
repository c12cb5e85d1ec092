//! The policy on its way through the pipeline: what is counted, what is given back, and what stays.

use ron_ledger::ledger::reason::Reason;
use ron_ledger::policy::Policy;

use super::*;
use crate::support::entries::transfer;

/// At most so much an hour comes into being, and goes out of one account at most as much as it says.
const RULES: &str = r#"
default = "allow"
[[rule]]
name = "denied"
effect = "deny"
parties = ["blocked/"]
[[rule]]
name = "minted"
effect = "limit"
kinds = ["Mint"]
window = "1h"
window_max = 100
[[rule]]
name = "payouts"
effect = "limit"
kinds = ["Transfer"]
window = "1h"
window_max = 10
per = "account"
"#;

async fn ruled(more: &[(&str, &str)]) -> Node {
    let node = micronode(more).await;
    node.pipeline.guard().replace(Policy::parse(RULES).unwrap());
    node
}

/// `None` where the entry was accepted.
async fn denied(node: &Node, entry: Entry) -> Option<String> {
    let answer = node.send(vec![entry]).await.expect("an answer").expect("room");
    match &outcomes(&answer)[0] {
        Outcome::Rejected(Reject { reason: Reason::PolicyDenied, details }) => {
            Some(details.to_string())
        }
        Outcome::Rejected(other) => Some(other.reason.to_string()),
        Outcome::Committed(_) | Outcome::Replayed(_) => None,
    }
}

/// Whether so much may still be minted; asked without leaving a trace.
async fn is_room_for(node: &Node, amount: u128) -> bool {
    // Refused by the ledger, so that what was counted for it is given back.
    let entries = vec![mint("probe", amount), transfer("nobody", "probe", 1)];
    let mut submission = node.submission(entries);
    submission.atomic = true;
    let answer = outcome(node.pipeline.submit(submission).unwrap()).await.unwrap();
    let Outcome::Rejected(reject) = &outcomes(&answer)[0] else { panic!("{answer:?}") };
    match reject.reason {
        Reason::PolicyDenied => false,
        Reason::AtomicAborted => true,
        other => panic!("{other}"),
    }
}

#[actix_rt::test]
async fn a_denial_names_its_rule_and_its_mates_are_committed() {
    let node = ruled(&[]).await;
    let entries = vec![mint("a", 5), mint("blocked/a", 5), mint("b", 5)];
    let answer = node.send(entries).await.unwrap().unwrap();
    assert_eq!(outcomes(&answer)[0], Outcome::Committed(1));
    assert_eq!(outcomes(&answer)[2], Outcome::Committed(2));
    let Outcome::Rejected(reject) = &outcomes(&answer)[1] else { panic!("{answer:?}") };
    assert_eq!(reject.reason, Reason::PolicyDenied);
    assert_eq!(reject.details, "policy rule `denied`: denies it");
    let text = node.pipeline.metrics().render();
    assert!(text.contains("{rule=\"denied\"} 1"), "{text}");
    assert!(is_room_for(&node, 90).await && !is_room_for(&node, 91).await);
    node.stop().await;
}

#[actix_rt::test]
async fn what_the_ledger_refuses_or_has_already_is_not_counted() {
    let node = ruled(&[]).await;
    let first = mint("a", 60);
    assert_eq!(denied(&node, first.clone()).await, None);
    // Funds that are not there: refused by the ledger, again and again.
    for _ in 0..5 {
        let refused = denied(&node, transfer("b", "a", 10)).await;
        assert_eq!(refused.as_deref(), Some("insufficient_funds"));
    }
    for _ in 0..5 {
        assert_eq!(replayed(&node, &first).await, 1);
    }
    assert_eq!(denied(&node, mint("a", 40)).await, None);
    let full = denied(&node, mint("a", 1)).await.unwrap();
    assert!(full.starts_with("policy rule `minted`: the ceiling of the window"), "{full}");
    assert_eq!(replayed(&node, &first).await, 1, "full or not, it is durable");
    // Changed rules do not reach what is durable either.
    node.pipeline.guard().replace(Policy::parse("default = \"deny\"").unwrap());
    assert_eq!(replayed(&node, &first).await, 1);
    assert_eq!(
        denied(&node, transfer("a", "b", 1)).await.as_deref(),
        Some("policy rule `default`: no rule allows it")
    );
    node.stop().await;
}

#[actix_rt::test]
async fn what_nobody_knows_the_outcome_of_stays_counted() {
    let node = ruled(&[]).await;
    let entry = mint("a", 60);
    let stall = Stall::and_then(&node, Point::CommitBeforeWrite, || panic!("planted"));
    let lost = submit(&node, vec![entry.clone()]);
    stall.reached(&node).await;
    drop(stall);
    assert!(outcome(lost).await.is_none());
    node.pipeline
        .order(ron_ledger::actors::pipeline::Order::SafeModeClear { has_verified: true })
        .await
        .unwrap()
        .unwrap();
    ready(&node).await;
    assert!(is_room_for(&node, 40).await && !is_room_for(&node, 41).await);
    node.stop().await;
}

#[actix_rt::test]
async fn the_whole_pool_keeps_to_one_ceiling() {
    let node = ruled(&[("concurrency.prevalidators", "4")]).await;
    let answers: Vec<Waiting> =
        (0..60).map(|at| submit(&node, vec![mint("a", 1 + at % 7)])).collect();
    for answer in answers {
        outcome(answer).await.unwrap();
    }
    // Amounts of one fill what is left to the last atom, and not beyond.
    let mut more = 0;
    while denied(&node, mint("a", 1)).await.is_none() {
        more += 1;
        assert!(more < 10, "so little was left");
    }
    let supply = node.pipeline.reader().supply().unwrap().value;
    let minted: u128 = supply.iter().map(|(_, supply)| supply.minted).sum();
    assert_eq!(minted, 100);
    node.stop().await;
}

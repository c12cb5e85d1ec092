//! Remote key service, policy guard and wallet: what they are asked, what follows from their answers,
//! and that whoever waits for them is bounded, and told.

use std::time::Instant;

use ron_ledger::actors::authority::Purpose;
use ron_ledger::actors::pipeline::Submission;
use ron_ledger::capability::{Action, Caveat, Context, Lookup, Peer, Plane};
use ron_ledger::telemetry::{ActorName, Queue};

use super::*;
use crate::support::entries::transfer;
use crate::support::upstream::{TARGETS, Upstream, borrowed, remote};

/// A node that asks a stand-in about these targets, and asks it nothing of its own accord.
async fn node_asking(targets: &[&str], more: &[(&str, &str)]) -> Option<(Node, Upstream)> {
    let keys = Keys::new();
    let upstream = Upstream::plain(&keys)?;
    let own = [("upstream.breaker_open", "50s"), ("concurrency.prevalidators", "1")];
    let settings = remote(&upstream, targets);
    let settings = [&QUICK[..], &own, &borrowed(&settings), more].concat();
    Some((Node::open(keys, "micronode", &settings).await, upstream))
}

/// What became of each entry: `None` for a commit.
async fn reasons_of(node: &Node, entries: Vec<Entry>) -> Vec<Option<Reason>> {
    let answer = node.send(entries).await.expect("an answer").expect("room");
    match &*answer {
        Answer::Refused(reject) => vec![Some(reject.reason)],
        Answer::Done { outcomes, .. } => outcomes.iter().map(reason_of).collect(),
    }
}

fn reason_of(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Rejected(reject) => Some(reject.reason),
        _ => None,
    }
}

#[actix_rt::test]
async fn a_token_is_asked_about_once_and_remembered() {
    let Some((node, mut upstream)) = node_asking(&["kms"], &[]).await else { return };
    for seq in 1..=20 {
        assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [seq]);
    }
    // A second that is slow may outlast what is remembered.
    let (questions, _) = upstream.seen("kms");
    assert!((1..5).contains(&questions), "{questions}");
    upstream.order("status 500");
    assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [21], "nobody is asked");
    node.stop().await;
}

#[actix_rt::test]
async fn the_key_service_says_who_is_genuine_and_the_caveats_what_is_allowed() {
    let ttl = ("capabilities.cache_ttl", "0s");
    let Some((node, mut upstream)) = node_asking(&["kms"], &[ttl]).await else { return };
    let submit_with = async |token: &str| {
        let submission = node.submission(vec![mint("alice", 1)]);
        let token = Some(ron_ledger::actors::pipeline::Bearer::new(token));
        let fingerprint = *blake3::hash(&rand::random::<[u8; 16]>()).as_bytes();
        let submission = Submission { token, fingerprint, ..submission };
        let answer = outcome(node.pipeline.submit(submission).unwrap()).await.unwrap();
        match &*answer {
            Answer::Refused(reject) => Some(reject.reason),
            Answer::Done { outcomes, .. } => reason_of(&outcomes[0]),
        }
    };
    let burns = node.keys.token(&[Caveat::Actions(vec![Action::Burn])]);
    assert_eq!(submit_with(&burns).await, Some(Reason::CapInvalid), "genuine, and not for that");
    let mut forged = node.keys.master().into_bytes();
    let last = forged.len() - 3;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    assert_eq!(submit_with(&forged).await, Some(Reason::Unauth));
    let (before, _) = upstream.seen("kms");
    let over = node.keys.token_until(&[], crate::support::keys::now_ms() + 1);
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert_eq!(submit_with(&over).await, Some(Reason::CapInvalid), "expired");
    assert_eq!(submit_with("AgEC").await, Some(Reason::Unauth), "no token at all");
    assert_eq!(upstream.seen("kms").0, before, "nobody is troubled with those");
    assert_eq!(submit_with(&node.keys.master()).await, None);
    upstream.order("revoke cap-1");
    assert_eq!(submit_with(&node.keys.master()).await, Some(Reason::CapInvalid));
    upstream.order("garbage");
    assert_eq!(submit_with(&node.keys.master()).await, Some(Reason::UpstreamUnavailable));
    node.stop().await;
}

#[actix_rt::test]
async fn a_read_goes_on_by_what_was_verified_and_not_by_what_was_revoked() {
    let more = [("capabilities.cache_ttl", "0s"), ("upstream.breaker_failures", "1")];
    let Some((node, mut upstream)) = node_asking(&["kms"], &more).await else { return };
    let authority = node.pipeline.authority();
    let context = Context { plane: Plane::Api, peer: Peer::Plain };
    let prove = async |token: &str, purpose| {
        let Ok(Lookup::Unproven(unproven)) = authority.lookup(Some(token), &context) else {
            panic!("nothing is remembered as fresh")
        };
        let by = Instant::now() + std::time::Duration::from_secs(2);
        let token = ron_ledger::actors::pipeline::Bearer::new(token);
        let proven = authority.prove(unproven, &token, &context, purpose, by).await;
        proven.map(|capability| capability.id().to_owned()).map_err(|reject| reject.reason)
    };
    let (known, unknown) = (node.keys.master(), node.keys.token(&[]));
    assert_eq!(prove(&known, Purpose::Act).await, Ok("cap-1".to_owned()));
    upstream.order("reset");
    let away = Err(Reason::UpstreamUnavailable);
    assert_eq!(prove(&unknown, Purpose::Read).await, away, "opens the breaker");
    node.until("open", |node| !node.pipeline.readiness().kms_ready).await;
    assert_eq!(prove(&known, Purpose::Read).await, Ok("cap-1".to_owned()));
    assert_eq!(prove(&known, Purpose::Act).await, away, "a write never goes by that");
    assert_eq!(prove(&unknown, Purpose::Read).await, away);
    let subject = ron_ledger::capability::Subject::id("cap-1").unwrap();
    node.pipeline.revoke(subject).await.unwrap().unwrap();
    let refused = authority.lookup(Some(&known), &context).map_err(|reject| reject.reason);
    assert_eq!(refused.err(), Some(Reason::CapInvalid));
    node.stop().await;
}

#[actix_rt::test]
async fn the_guard_denies_by_a_rule_and_is_not_asked_twice_about_what_is_durable() {
    let Some((node, mut upstream)) = node_asking(&["policy"], &[]).await else { return };
    upstream.order("deny frozen-account mallory");
    let (first, third) = (mint("alice", 5), mint("bob", 5));
    let batch = vec![first.clone(), mint("mallory", 5), third.clone()];
    let answer = node.send(batch).await.unwrap().unwrap();
    match outcomes(&answer) {
        [Outcome::Committed(1), Outcome::Rejected(reject), Outcome::Committed(2)] => {
            assert_eq!(reject.reason, Reason::PolicyDenied);
            assert!(reject.details.contains("frozen-account"), "{}", reject.details);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(upstream.seen("policy"), (1, 3));
    // Retries, and one that is new.
    let answer = node.send(vec![first, mint("carol", 5), third.clone()]).await.unwrap().unwrap();
    let expected = [Outcome::Replayed(1), Outcome::Committed(3), Outcome::Replayed(2)];
    assert_eq!(outcomes(&answer), expected);
    assert_eq!(upstream.seen("policy"), (2, 4));
    upstream.order("status 503");
    assert_eq!(replayed(&node, &third).await, 2, "nobody is needed for that");
    assert_eq!(reasons_of(&node, vec![mint("a", 1)]).await, [Some(Reason::UpstreamUnavailable)]);
    assert_eq!(upstream.seen("policy"), (4, 6), "tried once more after a failure");
    upstream.order("status 403");
    assert_eq!(reasons_of(&node, vec![mint("a", 1)]).await, [Some(Reason::UpstreamUnavailable)]);
    assert_eq!(upstream.seen("policy"), (5, 7), "and not after a refusal");
    node.stop().await;
}

#[actix_rt::test]
async fn the_wallet_is_asked_about_what_spends() {
    let Some((node, mut upstream)) = node_asking(&["policy", "wallet"], &[]).await else { return };
    assert_eq!(commit(&node, vec![mint("alice", 50), mint("bob", 50)]).await, [1, 2]);
    assert_eq!(upstream.seen("wallet"), (0, 0), "a mint spends nothing");
    upstream.order("spent bob");
    let batch = vec![transfer("alice", "carol", 5), transfer("bob", "carol", 5), mint("dave", 1)];
    assert_eq!(reasons_of(&node, batch).await, [None, Some(Reason::Conflict), None]);
    assert_eq!(upstream.seen("wallet"), (1, 2));
    assert_eq!(
        reasons_of(&node, vec![transfer("alice", "carol", 500)]).await,
        [Some(Reason::InsufficientFunds)],
        "the ledger's own balances count all the same"
    );
    upstream.order("deny rule-1 alice");
    let mut lost =
        node.submission(vec![transfer("alice", "carol", 1), transfer("carol", "bob", 1)]);
    lost.atomic = true;
    let (questions, _) = upstream.seen("wallet");
    let answer = outcome(node.pipeline.submit(lost).unwrap()).await.unwrap();
    let told: Vec<_> = outcomes(&answer).iter().map(reason_of).collect();
    assert_eq!(told, [Some(Reason::PolicyDenied), Some(Reason::AtomicAborted)]);
    assert_eq!(upstream.seen("wallet").0, questions, "nothing is left to ask");
    node.stop().await;
}

#[actix_rt::test]
async fn who_waits_for_a_service_is_bounded_and_told_in_time() {
    let more = [
        ("queues.prevalidator", "2"),
        ("limits.request_deadline", "1s"),
        ("upstream.kms.timeout", "900ms"),
        ("upstream.policy.timeout", "950ms"),
        ("upstream.wallet.timeout", "900ms"),
        ("upstream.breaker_failures", "1"),
    ];
    let Some((node, mut upstream)) = node_asking(&["policy"], &more).await else { return };
    upstream.order("hang");
    let waiting: Vec<_> = (0..2).map(|_| submit(&node, vec![mint("a", 1)])).collect();
    node.until("both are asked about", |_| depth_of(&node, "prevalidator") == 2).await;
    assert_eq!(refusal(submit(&node, vec![mint("a", 1)])).await, Reason::Busy);
    assert_eq!(node.pipeline.metrics().busy_rejections.of(Queue::Preval).get(), 1);
    for answer in waiting {
        assert_eq!(refusal(answer).await, Reason::UpstreamUnavailable);
    }
    node.until("their seats are free", |node| depth_of(node, "prevalidator") == 0).await;
    // The deadlines cut those questions short, which is not the service's fault.
    assert!(node.pipeline.readiness().policy_ready);
    node.stop().await;
}

#[actix_rt::test]
async fn a_panic_with_questions_out_loses_their_answers_and_nothing_else() {
    let Some((node, mut upstream)) = node_asking(&TARGETS, &[]).await else { return };
    let before = mint("before", 1);
    assert_eq!(commit(&node, vec![before.clone()]).await, [1]);
    upstream.order("latency 100");
    node.trigger.arm(Point::PrevalidatorAnswered, 1, || panic!("planted"));
    let entries: Vec<_> = (0..8).map(|_| mint("alice", 1)).collect();
    let lost: Vec<_> = entries.iter().map(|entry| submit(&node, vec![entry.clone()])).collect();
    node.until("all are asked about", |_| depth_of(&node, "prevalidator") > 1).await;
    let mut unknown = 0;
    for answer in lost {
        unknown += usize::from(outcome(answer).await.is_none());
    }
    assert!(unknown > 1, "{unknown} answers were lost");
    node.until("the next life has begun", |node| {
        node.pipeline.metrics().actor_restarts.of(ActorName::Prevalidator).get() == 1
    })
    .await;
    upstream.order("ok");
    ready(&node).await;
    for entry in entries {
        assert_eq!(reasons_of(&node, vec![entry]).await, [None]);
    }
    assert_eq!((head(&node), replayed(&node, &before).await), (9, 1), "each once");
    assert_eq!(node.pipeline.measure().inflight_requests.get(), 0);
    node.stop().await;
}

#[actix_rt::test]
async fn a_node_without_clients_finds_out_that_a_service_is_away_and_back() {
    let more = [("upstream.breaker_open", "20ms"), ("upstream.breaker_failures", "2")];
    let Some((node, mut upstream)) = node_asking(&TARGETS, &more).await else { return };
    for strike in [Point::ProberTimer, Point::ProberStarted] {
        node.trigger.arm(strike, 1, || panic!("planted"));
        node.trigger.arm(Point::ProberTimer, 1, || panic!("planted"));
        upstream.order("status 500");
        node.until("all are away", |node| {
            let now = node.pipeline.readiness();
            !now.ready && !now.kms_ready && !now.policy_ready && !now.wallet_ready
        })
        .await;
        let why = node.pipeline.readiness().reason.unwrap();
        assert!(why.contains("kms") && why.contains("policy") && why.contains("wallet"), "{why}");
        upstream.order("ok");
        ready(&node).await;
    }
    assert!(node.pipeline.metrics().actor_restarts.of(ActorName::Prober).get() >= 2);
    node.stop().await;
}

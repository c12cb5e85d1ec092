//! A panic at each point of each actor's handler, under a stream of requests: the process goes on,
//! every request is answered or told that its outcome is unknown, and a retry commits it once.

use std::sync::Arc;

use ron_ledger::actors::admin::Order;
use ron_ledger::actors::probe::Trigger;
use ron_ledger::actors::supervise::End;
use ron_ledger::telemetry::{ActorName, Label as _};

use super::*;

/// Which actor passes the point, and the point whose panic leads to it where it is the begin of a
/// life.
fn of(point: Point) -> (ActorName, Option<Point>) {
    use Point::*;
    match point {
        IngressHandle => (ActorName::Ingress, None),
        PrevalidatorHandle | PrevalidatorAnswered => (ActorName::Prevalidator, None),
        SequencerStarted => (ActorName::Sequencer, Some(SequencerHandle)),
        SequencerHandle | SequencerClose => (ActorName::Sequencer, None),
        CommitterStarted => (ActorName::Committer, Some(CommitBeforePlan)),
        CommitterTick | CommitBeforePlan | CommitBeforeWrite | CommitAfterWrite
        | CommitBeforeApply | CommitBeforeReply => (ActorName::Committer, None),
        PublisherStarted => (ActorName::RootPublisher, Some(PublisherHandle)),
        PublisherHandle
        | PublisherTimer
        | PublisherBeforeSign
        | PublisherBeforeDurable
        | PublisherAfterDurable => (ActorName::RootPublisher, None),
        AdminHandle => (ActorName::Admin, None),
        BreakerStarted | BreakerHandle => (ActorName::Breaker, None),
        ProberStarted | ProberTimer => (ActorName::Prober, None),
        WitnessesStarted | WitnessesTimer | WitnessesAnswered => (ActorName::Witnesses, None),
        VerifierStarted => (ActorName::Verifier, Some(VerifierStep)),
        VerifierStep => (ActorName::Verifier, None),
        ArchiverStarted | ArchiverTimer | ArchiverAnswered => (ActorName::Archiver, None),
        FollowerStarted | FollowerTimer | FollowerAnswered => (ActorName::Follower, None),
    }
}

/// Strikes at the third request of a stream, or when the timer comes round.
async fn survives(point: Point) {
    let quick = [("publish.min_interval", "1ms"), ("verifier.interval", "1ms")];
    let node = micronode(&quick).await;
    let (actor, way) = of(point);
    let crashes = if way.is_some() { 2 } else { 1 };
    let before = mint("before", 7);
    assert_eq!(commit(&node, vec![before.clone()]).await, [1]);

    // That timer comes round once in a second.
    let nth = if point == Point::CommitterTick { 1 } else { 3 };
    node.trigger.arm(way.unwrap_or(point), nth, move || panic!("planted at {point}"));
    if way.is_some() {
        node.trigger.arm(point, 1, move || panic!("planted at {point}"));
    }
    let mut sent = Vec::new();
    let panics = node.pipeline.metrics().actor_panics.of(actor);
    // The stream goes on until the point is hit: publication coalesces.
    while panics.get() < crashes || sent.len() < 20 {
        assert!(sent.len() < 5_000, "{point} was never hit");
        if point == Point::AdminHandle {
            node.pipeline.order(Order::SafeModeEnter).await;
            let _ = node.pipeline.order(Order::SafeModeClear { has_verified: true }).await;
        }
        let entry = mint("alice", 1);
        let answer = node.pipeline.submit(node.submission(vec![entry.clone()])).ok();
        sent.push((entry, answer));
        tokio::time::sleep(std::time::Duration::from_micros(200)).await;
    }
    let mut acked = Vec::new();
    for (entry, answer) in &mut sent {
        let Some(answer) = answer.take() else { continue };
        if let Some(answer) = outcome(answer).await
            && let Answer::Done { .. } = &*answer
        {
            acked.push((entry.clone(), committed(&answer)[0]));
        }
    }
    node.until("the next life has begun", |node| {
        let restarts = node.pipeline.metrics().actor_restarts.of(actor);
        restarts.get() == crashes
            && reasons(node).iter().all(|why| *why == SafeReason::CommitterCrashed)
    })
    .await;
    if actor == ActorName::Committer {
        let cleared = node.pipeline.order(Order::SafeModeClear { has_verified: true }).await;
        assert!(matches!(cleared, Some(Ok(mode)) if mode.bar().is_none()), "{point}: {cleared:?}");
    }
    ready(&node).await;

    let total = sent.len() as Seq + 1;
    for (entry, _) in &sent {
        let answer = node.send(vec![entry.clone()]).await.unwrap().unwrap();
        let known = matches!(outcomes(&answer), [Outcome::Committed(_) | Outcome::Replayed(_)]);
        assert!(known, "{point}: {answer:?}");
    }
    assert_eq!(head(&node), total, "{point}: each exactly once");
    acked.push((before, 1));
    for (entry, seq) in acked {
        let found = node.pipeline.reader().find(entry.id).unwrap().expect("acknowledged");
        assert_eq!(found.seq, seq, "{point}: where it was acknowledged");
    }
    assert_eq!(panics.get(), crashes, "{point}");
    node.until("the last root is published", |node| {
        node.pipeline.readiness().published_size == total
    })
    .await;
    assert_eq!(node.pipeline.measure().inflight_requests.get(), 0, "{point}");
    node.stop().await;
}

async fn all_survive(actors: &[ActorName]) {
    // Here nobody is asked: `super::upstreams` strikes that point.
    let is_passed = |point: Point| point != Point::PrevalidatorAnswered;
    let of_these = |point: Point| is_passed(point) && actors.contains(&of(point).0);
    let points = Point::ALL.iter().filter(|&&point| of_these(point));
    let mut struck = 0;
    for &point in points {
        survives(point).await;
        struck += 1;
    }
    assert!(struck >= actors.len());
}

#[actix_rt::test]
async fn a_panic_before_the_order_is_made_loses_one_answer_at_most() {
    all_survive(&[ActorName::Ingress, ActorName::Prevalidator, ActorName::Admin]).await;
}

#[actix_rt::test]
async fn a_panic_of_the_sequencer_is_survived() {
    all_survive(&[ActorName::Sequencer]).await;
}

#[actix_rt::test]
async fn a_panic_of_the_committer_is_survived() {
    all_survive(&[ActorName::Committer]).await;
}

#[actix_rt::test]
async fn a_panic_of_the_publisher_is_survived() {
    all_survive(&[ActorName::RootPublisher]).await;
}

#[actix_rt::test]
async fn a_panic_of_the_verifier_is_survived() {
    all_survive(&[ActorName::Verifier]).await;
}

/// The first life ends in `started`, before anything was done: the second one is as good.
#[actix_rt::test]
async fn a_panic_at_the_very_start_is_survived() {
    for point in [
        Point::SequencerStarted,
        Point::CommitterStarted,
        Point::PublisherStarted,
        Point::BreakerStarted,
    ] {
        let (probe, trigger) = Probe::armable();
        trigger.arm(point, 1, move || panic!("planted at {point}"));
        let more = [&QUICK[..], &[("safe_mode.auto_clear", "true")]].concat();
        let node = Node::begin(Keys::new(), "micronode", &more, probe, trigger);
        let (actor, _) = of(point);
        node.until("the second life has begun", |node| {
            node.pipeline.metrics().actor_restarts.of(actor).get() == 1
        })
        .await;
        ready(&node).await;
        assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [1], "{point}");
        node.until("its root is published", |node| node.pipeline.readiness().published_size == 1)
            .await;
        node.stop().await;
    }
}

/// Arms itself again each time it acts.
fn for_ever(trigger: &Arc<Trigger>, point: Point) {
    let again = Arc::clone(trigger);
    trigger.arm(point, 1, move || {
        for_ever(&again, point);
        panic!("planted for ever at {point}")
    });
}

/// Wherever an actor falls over each time, the budget of its restarts ends the process with 70.
#[actix_rt::test]
async fn a_crash_loop_at_any_point_ends_by_budget() {
    // These nodes have neither upstreams nor witnesses nor an archive, and follow nobody.
    let is_passed = |&&point: &&Point| {
        ![Point::BreakerHandle, Point::PrevalidatorAnswered].contains(&point)
            && ![ActorName::Witnesses, ActorName::Prober, ActorName::Archiver, ActorName::Follower]
                .contains(&of(point).0)
    };
    for &point in Point::ALL.iter().filter(is_passed) {
        let (probe, trigger) = Probe::armable();
        for_ever(&trigger, point);
        let own = [
            ("supervision.restarts", "2"),
            ("safe_mode.auto_clear", "true"),
            ("publish.min_interval", "1ms"),
            ("verifier.interval", "1ms"),
        ];
        let more = [&QUICK[..], &own].concat();
        let node = Node::begin(Keys::new(), "micronode", &more, probe, trigger);
        let stream = async {
            loop {
                let _ = node.pipeline.submit(node.submission(vec![mint("alice", 1)]));
                if point == Point::AdminHandle {
                    node.pipeline.order(Order::SafeModeClear { has_verified: true }).await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        let patience = std::time::Duration::from_secs(20);
        let (actor, end) = tokio::select! {
            broken = tokio::time::timeout(patience, node.pipeline.broken()) => {
                broken.unwrap_or_else(|_| panic!("{point}: goes on for ever"))
            }
            () = stream => unreachable!("the stream has no end"),
        };
        let (expected, _) = of(point);
        assert_eq!(end.exit_code(), 70, "{point}");
        assert_eq!(end, End::Spent(format!("planted for ever at {point}")), "{actor}");
        assert!(actor.starts_with(expected.as_str()), "{point}: {actor}");
        node.trigger.disarm();
        // Whoever is gone does not drain; what is left is counted and not waited for.
        let _ = node.pipeline.drain(std::time::Instant::now()).await;
    }
}

/// One group in hand, one queued behind it, one growing.
#[actix_rt::test]
async fn after_a_crash_of_the_committer_what_is_queued_is_refused_and_writes_wait_for_the_operator()
{
    for (point, is_durable) in [
        (Point::CommitBeforeWrite, false),
        (Point::CommitAfterWrite, true),
        (Point::CommitBeforeApply, true),
        (Point::CommitBeforeReply, true),
    ] {
        let node = micronode(&[]).await;
        let before = mint("alice", 7);
        commit(&node, vec![before.clone()]).await;
        let stall = Stall::and_then(&node, point, || panic!("planted"));
        let in_hand = mint("alice", 1);
        let lost = submit(&node, vec![in_hand.clone()]);
        stall.reached(&node).await;
        let queued: Vec<_> = (0..3).map(|_| mint("alice", 1)).collect();
        let waiting: Vec<_> =
            queued.iter().map(|entry| submit(&node, vec![entry.clone()])).collect();
        node.until("all are sequenced", |node| depth_of(node, "sequencer") == 4).await;
        drop(stall);

        assert!(outcome(lost).await.is_none(), "{point}: the outcome is unknown");
        for answer in waiting {
            assert_eq!(refusal(answer).await, Reason::SafeMode, "{point}");
        }
        node.until("it has recovered", |node| reasons(node) == [SafeReason::CommitterCrashed])
            .await;
        node.until("it is up", |node| {
            let readiness = node.pipeline.readiness();
            readiness.actors.iter().all(|actor| actor.state.as_str() == "up")
        })
        .await;
        let readiness = node.pipeline.readiness();
        assert!(!readiness.ready && readiness.live && readiness.degraded, "{point}");
        assert_eq!(readiness.mode, "safe_mode: committer_crashed");
        assert!(readiness.reason.unwrap().contains("committer_crashed"));
        assert_eq!(node.pipeline.measure().safe_mode.get(), 1);
        assert_eq!(refusal(submit(&node, vec![mint("alice", 1)])).await, Reason::SafeMode);
        let reader = node.pipeline.reader();
        assert_eq!(reader.find(before.id).unwrap().unwrap().seq, 1, "reads answer");
        assert_eq!(head(&node), if is_durable { 2 } else { 1 }, "{point}");

        let cleared = node
            .pipeline
            .order(Order::SafeModeClear { has_verified: true })
            .await
            .unwrap()
            .unwrap();
        assert!(cleared.bar().is_none());
        ready(&node).await;
        if is_durable {
            assert_eq!(replayed(&node, &in_hand).await, 2, "{point}");
        } else {
            assert_eq!(commit(&node, vec![in_hand]).await, [2], "{point}");
        }
        for (entry, seq) in queued.into_iter().zip(3..) {
            assert_eq!(commit(&node, vec![entry]).await, [seq], "{point}: it was not applied");
        }
        node.stop().await;
    }
}

#[actix_rt::test]
async fn with_auto_clear_a_verified_ledger_is_ready_by_itself() {
    let node = micronode(&[("safe_mode.auto_clear", "true")]).await;
    node.trigger.arm(Point::CommitAfterWrite, 1, || panic!("planted"));
    let entry = mint("alice", 1);
    assert!(node.send(vec![entry.clone()]).await.is_none());
    node.until("restarted", |node| {
        node.pipeline.metrics().actor_restarts.of(ActorName::Committer).get() == 1
    })
    .await;
    ready(&node).await;
    assert_eq!(replayed(&node, &entry).await, 1);
    node.stop().await;
}

#[actix_rt::test]
async fn sequencer_and_publisher_are_checked_before_writes_pass_again() {
    for (strike, begin) in [
        (Point::SequencerHandle, Point::SequencerStarted),
        (Point::PublisherHandle, Point::PublisherStarted),
    ] {
        let node = micronode(&[]).await;
        publisher_idle(&node).await;
        let stall = Stall::and_then(&node, begin, || ());
        node.trigger.arm(strike, 1, || panic!("planted"));
        let entry = mint("alice", 1);
        let first = node.send(vec![entry.clone()]).await;
        stall.reached(&node).await;
        assert_eq!(reasons(&node), [SafeReason::Checking], "{strike}");
        assert!(!node.pipeline.readiness().ready);
        // The ingress works on the sequencer's thread, and waits with it.
        if begin != Point::SequencerStarted {
            let during = submit(&node, vec![mint("alice", 1)]);
            assert_eq!(refusal(during).await, Reason::SafeMode);
        }
        drop(stall);
        ready(&node).await;
        match first {
            Some(answer) => assert_eq!(committed(&answer.unwrap()), [1]),
            None => assert_eq!(commit(&node, vec![entry]).await, [1], "nothing was handed over"),
        }
        node.stop().await;
    }
}

#[actix_rt::test]
async fn a_spent_budget_of_restarts_ends_the_pipeline() {
    let node = micronode(&[("supervision.restarts", "1")]).await;
    for crashes in 0..2 {
        // The answer is lost a moment before the crash is noted.
        node.until("up again", |node| {
            let restarts = node.pipeline.metrics().actor_restarts.of(ActorName::Sequencer);
            restarts.get() == crashes && node.pipeline.readiness().ready
        })
        .await;
        node.trigger.arm(Point::SequencerHandle, 1, || panic!("planted twice"));
        assert!(node.send(vec![mint("alice", 1)]).await.is_none());
    }
    let patience = std::time::Duration::from_secs(20);
    let (actor, end) = tokio::time::timeout(patience, node.pipeline.broken()).await.unwrap();
    assert_eq!((actor, end.exit_code()), ("sequencer", 70));
    assert_eq!(end, End::Spent("planted twice".into()));
    assert!(!node.pipeline.readiness().ready);
    node.stop().await;
}

//! Holds end by their time: at the head of the next group, or by the tick while nothing comes. Not
//! while writes are in doubt.

use ron_ledger::actors::admin::Order;
use ron_ledger::ledger::entry::{EntryId, Kind};
use ron_ledger::ledger::state::HoldState;

use super::*;
use crate::support::entries::entry;
use crate::support::keys::now_ms;

/// An account with 10, of which 4 are set aside for so many ms.
async fn held(node: &Node, for_ms: u64) -> Entry {
    let expires_at = Some(now_ms() + for_ms);
    let hold = Entry { expires_at, ..entry(Kind::Hold, "alice", 4) };
    assert_eq!(commit(node, vec![mint("alice", 10), hold.clone()]).await, [1, 2]);
    hold
}

fn state(node: &Node, id: EntryId) -> HoldState {
    node.pipeline.reader().hold(id).unwrap().value.unwrap().state
}

fn available(node: &Node) -> u128 {
    let account = ron_ledger::ledger::names::AccountId::new("alice").unwrap();
    node.pipeline.reader().account(&account).unwrap().value[0].1.available
}

#[actix_rt::test]
async fn an_idle_ledger_ends_a_hold_by_its_tick_and_commits_nothing_else() {
    let node = micronode(&[]).await;
    let hold = held(&node, 150).await;
    assert_eq!((state(&node, hold.id), available(&node)), (HoldState::Open, 6));
    node.until("it has expired", |node| state(node, hold.id) == HoldState::Expired).await;
    assert_eq!((head(&node), available(&node)), (3, 10));
    let made = node.pipeline.reader().entry(3).unwrap().unwrap();
    assert!(made.time >= hold.expires_at.unwrap());
    assert_eq!(made.sequenced.entry.kind, Kind::Expire);
    node.until("its root is published", |node| node.pipeline.readiness().published_size == 3).await;
    assert_eq!(node.pipeline.metrics().commits.get(), 2, "no group is empty");
    node.stop().await;
}

#[actix_rt::test]
async fn no_hold_expires_in_safe_mode_and_the_next_group_makes_up_for_it() {
    let node = micronode(&[]).await;
    let hold = held(&node, 40).await;
    node.pipeline.order(Order::SafeModeEnter).await.unwrap().unwrap();
    let due = hold.expires_at.unwrap();
    node.until("its time is over", |_| now_ms() > due).await;
    assert_eq!(refusal(submit(&node, vec![mint("bob", 1)])).await, Reason::SafeMode);
    assert_eq!((state(&node, hold.id), head(&node)), (HoldState::Open, 2));
    node.pipeline.order(Order::SafeModeClear { has_verified: true }).await.unwrap().unwrap();
    // The tick may come first: then the expiry has a group of its own.
    assert_eq!(commit(&node, vec![mint("bob", 1)]).await, [4]);
    assert_eq!(state(&node, hold.id), HoldState::Expired);
    assert_eq!(
        node.pipeline.reader().entry(3).unwrap().unwrap().sequenced.entry.kind,
        Kind::Expire
    );
    node.stop().await;
}

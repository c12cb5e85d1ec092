//! Places kept for what is yet to be sent, and seats that travel on.

use super::*;
use futures_util::poll;

#[actix::test]
async fn a_reserved_place_is_never_refused() {
    let (_arbiter, door, _care) = up(&World::default(), 2, QUICK);
    let place = door.reserve().await.expect("the door is open");
    assert_eq!((door.depth(), door.free()), (0, 1), "a place is no work");
    let gate = block(&door);
    assert!(matches!(door.offer(Do::Stop), Err(Refused::Full(_))), "kept from all others");
    let (reply, answer) = oneshot::channel();
    assert!(place.offer(Do::Add(4, reply)).is_ok());
    assert_eq!(door.depth(), 2);
    drop(gate);
    assert_eq!(answer.await, Ok(4));
}

#[actix::test]
async fn reserve_waits_for_a_seat_and_a_dropped_place_gives_it_back() {
    let (_arbiter, door, _care) = up(&World::default(), 1, QUICK);
    let first = door.reserve().await.expect("the door is open");
    let mut waiting = Box::pin(door.reserve());
    assert!(poll!(&mut waiting).is_pending());
    drop(first);
    assert!(door.offer(Do::Stop).is_err(), "who waits comes before who asks later");
    drop(waiting.await.expect("the door is open"));
    assert_eq!(door.free(), 1);
}

#[actix::test]
async fn a_place_outlives_a_crash_and_a_closed_door_and_a_drain_waits_for_it() {
    let world = World::default();
    let (_arbiter, door, _care) = up(&world, 2, QUICK);
    let place = door.reserve().await.expect("the door is open");
    fell(&door);
    until("a crash", || world.told.crashes.load(SeqCst) == 1).await;
    let mut draining = Box::pin(door.drain());
    assert!(poll!(&mut draining).is_pending());
    until("the crashed message is gone", || door.depth() == 0).await;
    assert!(poll!(&mut draining).is_pending(), "a place may still be used");
    let (reply, answer) = oneshot::channel();
    assert!(place.offer(Do::Add(3, reply)).is_ok());
    draining.await;
    assert_eq!(answer.await, Ok(3));
}

#[actix::test]
async fn closing_wakes_those_who_wait_and_refuses_those_who_come() {
    let (_arbiter, door, care) = up(&World::default(), 1, QUICK);
    let _place = door.reserve().await.expect("the door is open");
    let mut waiting = Box::pin(door.reserve());
    assert!(poll!(&mut waiting).is_pending());
    let mut unpolled = Box::pin(door.reserve());
    door.close();
    assert!(waiting.await.is_none());
    assert!(poll!(&mut unpolled).is_ready());
    assert!(!door.is_open() && matches!(door.offer(Do::Stop), Err(Refused::Closed(_))));
    until("the actor is up", || care.state() == State::Up).await;
}

#[actix::test]
async fn an_actor_that_ends_wakes_those_who_wait_and_makes_places_worthless() {
    let (_arbiter, door, care) = up(&World::default(), 1, QUICK);
    let place = door.reserve().await.expect("the door is open");
    let mut waiting = Box::pin(door.reserve());
    assert!(poll!(&mut waiting).is_pending());
    care.stop();
    assert!(waiting.await.is_none());
    assert_eq!(care.ended().await, End::Asked);
    assert!(matches!(place.offer(Do::Stop), Err(Refused::Closed(Do::Stop))));
    assert_eq!((door.depth(), door.free()), (0, 1));
}

/// A ticket's seat counts at the front door until the ticket is answered, wherever it is by then.
#[actix::test]
async fn a_seat_that_travels_on_counts_until_it_is_dropped() {
    let (_arbiter, door, _care) = up(&World::default(), 1, QUICK);
    let (taken, seat) = oneshot::channel();
    assert!(door.offer(Do::Leave(taken)).is_ok());
    let seat = seat.await.expect("the handler gives it away");
    assert!(matches!(door.offer(Do::Stop), Err(Refused::Full(_))));
    let before = door.progress().count();
    seat.progress().bump();
    assert_eq!(door.progress().count(), before + 1, "long work can say that it moves");
    thread::spawn(move || drop(seat)).join().expect("seats are Send");
    assert_eq!((door.depth(), door.progress().count()), (0, before + 2));
    assert_eq!(door.name(), "worker");
}

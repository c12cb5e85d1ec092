//! What becomes of a read that waits for the disk while the writer, the flusher and a recovery go on.

use std::cell::{Cell, RefCell};

use super::*;
use crate::storage::view::{At, TRIES};

/// A writer of an open ledger with one entry.
fn one_entry() -> (Store, Writer, Lease) {
    let store = store(&engine(), 1 << 20);
    let (mut writer, lease) = open(&store);
    one_more(&mut writer);
    (store, writer, lease)
}

fn one_more(writer: &mut Writer) {
    commit(writer, &[&request(mints(1))], 1);
}

/// Reads the size, which takes until `meanwhile` is done; it is told which try it is. Returns the
/// answer and how many tries it took.
fn size(
    writer: &RefCell<Writer>,
    meanwhile: impl Fn(usize),
) -> (Result<At<u64>, ReadError>, usize) {
    let (shared, tries) = (Arc::clone(&writer.borrow().shared), Cell::new(0));
    let answer = shared.answer(
        |overlay| overlay.head.seq,
        |size| {
            tries.set(tries.get() + 1);
            meanwhile(tries.get());
            Ok(size)
        },
    );
    (answer, tries.get())
}

#[test]
fn a_commit_does_not_wait_for_a_slow_read_nor_change_its_answer() {
    let (_store, writer, _lease) = one_entry();
    let writer = RefCell::new(writer);
    let (answer, tries) = size(&writer, |_| one_more(&mut writer.borrow_mut()));
    assert_eq!((answer.unwrap(), tries), (At { size: 1, value: 1 }, 1));
    assert_eq!(writer.borrow().head().get().seq, 2);
}

#[test]
fn an_answer_that_a_flush_overtook_is_asked_for_anew() {
    for overtakes in 0..=TRIES {
        let (_store, writer, _lease) = one_entry();
        let writer = RefCell::new(writer);
        let (answer, tries) = size(&writer, |n| {
            if n <= overtakes {
                one_more(&mut writer.borrow_mut());
                settle(&mut writer.borrow_mut());
            }
        });
        let now = 1 + overtakes as u64;
        assert_eq!((answer.unwrap(), tries), (At { size: now, value: now }, overtakes + 1));
    }
}

#[test]
fn an_answer_that_is_on_its_way_when_readers_are_shut_out_is_not_given() {
    let (store, writer, lease) = one_entry();
    let writer = RefCell::new(writer);
    let (answer, tries) = size(&writer, |_| writer.borrow().shared.close());
    assert!(matches!(answer, Err(ReadError::NotOpen)));
    assert_eq!(tries, 1);
    drop((writer, lease));
    let _open = open(&store);
    assert_eq!(store.reader().supply().unwrap().size, 1);
}

//! The binary form of the answer to `POST /ingest`: written by the ledger, read by clients.

use super::super::dto::{AnswerOut, ReasonOut, Receipts, ResultOut, Status};
use super::{Cursor, VERSION, flag, text};
use crate::ledger::entry::Seq;

/// What an answer begins with.
const MAGIC: [u8; 4] = *b"RONA";

const RECEIPTS_GIVEN: u8 = 1 << 0;
const RECEIPTS_NOT_YET: u8 = 1 << 1;

const COMMITTED: u8 = 1;
const REPLAYED: u8 = 2;
const REJECTED: u8 = 3;

/// The shortest result, in bytes: one that was rejected, with texts of a length alone.
const RESULT_BYTES_MIN: usize = 1 + 1 + 4;

/// The binary form of an answer. How many were accepted, and which seqs are new, follows from the
/// results. `None` when results, reasons and receipts do not go together as they do in an answer of
/// the ledger.
pub fn write(answer: &AnswerOut<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(64 + 9 * answer.results.len() + 64 * answer.reasons.len());
    out.extend_from_slice(&MAGIC);
    let flags = flag(answer.receipts == Some(Receipts::Given), RECEIPTS_GIVEN)
        | flag(answer.receipts == Some(Receipts::NotYet), RECEIPTS_NOT_YET);
    out.extend_from_slice(&[VERSION, flags]);
    out.extend_from_slice(&answer.root_size.to_be_bytes());
    let mut root = [0; 32];
    hex::decode_to_slice(&*answer.new_root, &mut root).ok()?;
    out.extend_from_slice(&root);
    text(&mut out, &answer.durability)?;
    out.extend_from_slice(&u32::try_from(answer.results.len()).ok()?.to_be_bytes());
    let mut reasons = answer.reasons.iter();
    for (idx, result) in answer.results.iter().enumerate() {
        match (result.status, result.seq) {
            (Status::Rejected, None) => {
                let why = reasons.next().filter(|why| why.idx == idx)?;
                out.push(REJECTED);
                text(&mut out, &why.reason)?;
                long_text(&mut out, &why.details)?;
            }
            (Status::Committed, Some(seq)) => write_accepted(&mut out, COMMITTED, seq),
            (Status::Replayed, Some(seq)) => write_accepted(&mut out, REPLAYED, seq),
            _ => return None,
        }
        match (&result.receipt, flags & RECEIPTS_GIVEN != 0 && result.seq.is_some()) {
            (Some(receipt), true) => long_text(&mut out, receipt)?,
            (None, false) => {}
            _ => return None,
        }
    }
    Some(out)
}

fn write_accepted(out: &mut Vec<u8>, status: u8, seq: u64) {
    out.push(status);
    out.extend_from_slice(&seq.to_be_bytes());
}

fn long_text(out: &mut Vec<u8>, text: &str) -> Option<()> {
    out.extend_from_slice(&u32::try_from(text.len()).ok()?.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// What stands in front of the results.
struct Head<'a> {
    receipts: Option<Receipts>,
    root_size: u64,
    new_root: [u8; 32],
    durability: &'a [u8],
    count: usize,
}

/// One result. What was rejected has a reason and details.
struct Row<'a> {
    status: Status,
    seq: Option<Seq>,
    receipt: Option<&'a [u8]>,
    why: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Head<'a> {
    fn take(rest: &mut Cursor<'a>) -> Option<Self> {
        if rest.array()? != MAGIC || rest.byte()? != VERSION {
            return None;
        }
        let receipts = match rest.byte()? {
            0 => None,
            RECEIPTS_GIVEN => Some(Receipts::Given),
            RECEIPTS_NOT_YET => Some(Receipts::NotYet),
            _ => return None,
        };
        Some(Head {
            receipts,
            root_size: u64::from_be_bytes(rest.array()?),
            new_root: rest.array()?,
            durability: rest.text()?,
            count: usize::try_from(u32::from_be_bytes(rest.array()?)).ok()?,
        })
    }

    fn row(&self, rest: &mut Cursor<'a>) -> Option<Row<'a>> {
        let status = match rest.byte()? {
            COMMITTED => Status::Committed,
            REPLAYED => Status::Replayed,
            REJECTED => {
                let why = Some((rest.text()?, rest.long_text()?));
                return Some(Row { status: Status::Rejected, seq: None, receipt: None, why });
            }
            _ => return None,
        };
        let seq = Some(u64::from_be_bytes(rest.array()?));
        let receipt = match self.receipts {
            Some(Receipts::Given) => Some(rest.long_text()?),
            _ => None,
        };
        Some(Row { status, seq, receipt, why: None })
    }
}

/// Takes an answer back. `None` for whatever [`write`] does not write.
pub fn read(bytes: &[u8]) -> Option<AnswerOut<'static>> {
    let mut rest = Cursor(bytes);
    let head = Head::take(&mut rest)?;
    // No more room than the bytes can fill.
    let room = head.count.min(rest.0.len() / RESULT_BYTES_MIN);
    let mut answer = AnswerOut {
        accepted: 0,
        seq_start: None,
        seq_end: None,
        new_root: hex::encode(head.new_root).into(),
        root_size: head.root_size,
        durability: owned(head.durability)?.into(),
        reasons: Vec::new(),
        results: Vec::with_capacity(room),
        receipts: head.receipts,
    };
    for idx in 0..head.count {
        let Row { status, seq, receipt, why } = head.row(&mut rest)?;
        if let Some((reason, details)) = why {
            let (reason, details) = (owned(reason)?.into(), owned(details)?.into());
            answer.reasons.push(ReasonOut { idx, reason, details });
        }
        if status == Status::Committed {
            answer.seq_start = answer.seq_start.or(seq);
            answer.seq_end = seq;
        }
        answer.accepted += usize::from(seq.is_some());
        let receipt = match receipt {
            Some(text) => Some(owned(text)?),
            None => None,
        };
        answer.results.push(ResultOut { idx, status, seq, receipt });
    }
    rest.0.is_empty().then_some(answer)
}

/// Tells what became of each entry, in their order, and makes nothing of the rest. `None`, at last, for
/// what is no answer; texts are not looked at.
pub fn visit(bytes: &[u8], mut each: impl FnMut(Status, Option<Seq>)) -> Option<()> {
    let mut rest = Cursor(bytes);
    let head = Head::take(&mut rest)?;
    for _ in 0..head.count {
        let row = head.row(&mut rest)?;
        each(row.status, row.seq);
    }
    rest.0.is_empty().then_some(())
}

fn owned(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

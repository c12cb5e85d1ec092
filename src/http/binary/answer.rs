//! The binary form of the answer to `POST /ingest`: written by the ledger, read by clients.

use super::super::dto::{AnswerOut, ReasonOut, Receipts, ResultOut, Status};
use super::{Cursor, VERSION, flag, text};

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

/// Takes an answer back. `None` for whatever [`write`] does not write.
pub fn read(bytes: &[u8]) -> Option<AnswerOut<'static>> {
    let mut rest = Cursor(bytes);
    if rest.array()? != MAGIC || rest.byte()? != VERSION {
        return None;
    }
    let receipts = match rest.byte()? {
        0 => None,
        RECEIPTS_GIVEN => Some(Receipts::Given),
        RECEIPTS_NOT_YET => Some(Receipts::NotYet),
        _ => return None,
    };
    let root_size = u64::from_be_bytes(rest.array()?);
    let new_root = hex::encode(rest.array::<32>()?).into();
    let durability = owned(rest.text()?)?.into();
    let count = usize::try_from(u32::from_be_bytes(rest.array()?)).ok()?;
    // No more room than the bytes can fill.
    let room = count.min(rest.0.len() / RESULT_BYTES_MIN);
    let mut answer = AnswerOut {
        accepted: 0,
        seq_start: None,
        seq_end: None,
        new_root,
        root_size,
        durability,
        reasons: Vec::new(),
        results: Vec::with_capacity(room),
        receipts,
    };
    for idx in 0..count {
        let result = read_result(&mut rest, idx, &mut answer)?;
        answer.results.push(result);
    }
    rest.0.is_empty().then_some(answer)
}

fn read_result(
    rest: &mut Cursor<'_>,
    idx: usize,
    answer: &mut AnswerOut<'static>,
) -> Option<ResultOut> {
    let status = match rest.byte()? {
        COMMITTED => Status::Committed,
        REPLAYED => Status::Replayed,
        REJECTED => {
            let (reason, details) = (owned(rest.text()?)?.into(), owned(rest.long_text()?)?.into());
            answer.reasons.push(ReasonOut { idx, reason, details });
            return Some(ResultOut { idx, status: Status::Rejected, seq: None, receipt: None });
        }
        _ => return None,
    };
    let seq = u64::from_be_bytes(rest.array()?);
    let receipt = match answer.receipts {
        Some(Receipts::Given) => Some(owned(rest.long_text()?)?),
        _ => None,
    };
    answer.accepted += 1;
    if status == Status::Committed {
        answer.seq_start.get_or_insert(seq);
        answer.seq_end = Some(seq);
    }
    Some(ResultOut { idx, status, seq: Some(seq), receipt })
}

fn owned(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

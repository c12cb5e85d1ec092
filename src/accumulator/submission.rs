//! The body of `add-checkpoint` of C2SP tlog-witness: `old <size>`, the consistency proof from that
//! size, one base64 hash a line, an empty line, and the signed checkpoint.

use super::hash::Hash;
use super::note::NOTE_BYTES_MAX;

/// The most hashes of a proof between two sizes below 2^64, as the specification bounds them.
pub const SUBMISSION_HASHES_MAX: usize = 63;

/// The longest body that is read, in bytes: the first line, the proof, the empty line, the note.
pub const SUBMISSION_BYTES_MAX: usize = 32 + SUBMISSION_HASHES_MAX * 45 + NOTE_BYTES_MAX;

/// A checkpoint for a witness, and the proof that it continues what the witness cosigned last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The size that the witness is taken to have cosigned last; 0 for none.
    pub old: u64,
    /// From that size to the checkpoint's.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, whole.
    pub note: String,
}

/// The body is not in due form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a submission: want `old SIZE`, up to {SUBMISSION_HASHES_MAX} hashes, an empty line, a note"
)]
pub struct SubmissionError;

impl Submission {
    /// Reads a body. Nothing is known of the note but that it is UTF-8 and not too long.
    ///
    /// # Errors
    /// [`SubmissionError`].
    pub fn parse(body: &[u8]) -> Result<Self, SubmissionError> {
        if body.len() > SUBMISSION_BYTES_MAX {
            return Err(SubmissionError);
        }
        let body = std::str::from_utf8(body).map_err(|_| SubmissionError)?;
        let (head, note) = body.split_once("\n\n").ok_or(SubmissionError)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or(SubmissionError)?;
        let old: u64 =
            old.parse().ok().filter(|size: &u64| size.to_string() == old).ok_or(SubmissionError)?;
        let proof: Result<Vec<Hash>, _> = lines.map(Hash::from_base64).collect();
        let proof = proof.map_err(|_| SubmissionError)?;
        if proof.len() > SUBMISSION_HASHES_MAX || note.len() > NOTE_BYTES_MAX {
            return Err(SubmissionError);
        }
        Ok(Submission { old, proof, note: note.to_owned() })
    }

    /// The body.
    pub fn encode(&self) -> String {
        let proof: String = self.proof.iter().map(|hash| hash.to_base64() + "\n").collect();
        format!("old {}\n{proof}\n{}", self.old, self.note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_reads_back() {
        for hashes in [0, 1, SUBMISSION_HASHES_MAX] {
            let proof = (0..hashes).map(|at| Hash([at as u8; 32])).collect();
            let one = Submission { old: 17, proof, note: "a\n1\nb\n\n\u{2014} c d\n".into() };
            assert_eq!(Submission::parse(one.encode().as_bytes()), Ok(one));
        }
    }

    #[test]
    fn what_is_not_in_due_form_is_refused() {
        let hash = Hash([1; 32]).to_base64();
        let too_many = format!("old 1\n{}\nnote", format!("{hash}\n").repeat(64));
        let too_long = format!("old 1\n\n{}", "n".repeat(NOTE_BYTES_MAX + 1));
        for body in [
            "",
            "old 1",
            "old 1\n",
            "old 01\n\nnote",
            "old +1\n\nnote",
            "old -1\n\nnote",
            "old 18446744073709551616\n\nnote",
            "new 1\n\nnote",
            "old 1\nAAAA\n\nnote",
            &format!("old 1\n{hash} \n\nnote"),
            &too_many,
            &too_long,
        ] {
            assert_eq!(Submission::parse(body.as_bytes()), Err(SubmissionError), "{body:?}");
        }
        assert_eq!(Submission::parse(b"old 1\n\n\xff"), Err(SubmissionError));
    }
}

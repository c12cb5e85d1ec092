//! What the key service is asked: whether a root key of its own stands behind a token.
//!
//! It says yes or no, and nothing of what the token allows: the ledger reads the caveats off the token
//! itself, so that no answer, whoever gave it, allows more than they do.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::service::AskError;

/// The longest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 1024;

/// What the key service says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A root key stands behind it, and nothing was changed since.
    Valid,
    /// None does, or it was changed.
    Invalid,
    /// It, or its root key, is revoked there.
    Revoked,
}

#[derive(Serialize)]
struct QuestionOut<'a> {
    v: u8,
    token: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerIn {
    v: u8,
    token_sha256: String,
    verdict: Verdict,
}

/// The question in bytes.
pub fn question(token: &str) -> Vec<u8> {
    serde_json::to_vec(&QuestionOut { v: 1, token }).expect("a text and a number serialize")
}

/// Reads the answer, which must speak of this very token.
///
/// # Errors
/// [`AskError::Strange`].
pub fn answer(token: &str, bytes: &[u8]) -> Result<Verdict, AskError> {
    let answer: AnswerIn =
        serde_json::from_slice(bytes).map_err(|_| AskError::Strange("not a verdict"))?;
    let wanted = hex::encode(Sha256::digest(token.as_bytes()));
    match answer {
        AnswerIn { v: 1, token_sha256, verdict } if token_sha256 == wanted => Ok(verdict),
        AnswerIn { v: 1, .. } => Err(AskError::Strange("it speaks of another token")),
        _ => Err(AskError::Strange("another version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_taken_for_the_token_it_speaks_of_and_in_no_other_form() {
        let sha256 = hex::encode(Sha256::digest(b"token"));
        let check = |text: &str, expected: Option<Verdict>| {
            let text = text.replace("HASH", &sha256);
            assert_eq!(answer("token", text.as_bytes()).ok(), expected, "{text}");
        };
        let valid = r#"{"v":1,"token_sha256":"HASH","verdict":"valid"}"#;
        check(valid, Some(Verdict::Valid));
        check(&valid.replace("valid", "invalid"), Some(Verdict::Invalid));
        check(&valid.replace("valid", "revoked"), Some(Verdict::Revoked));
        check(&valid.replace("HASH", &"0".repeat(64)), None);
        check(&valid.replace("\"v\":1", "\"v\":2"), None);
        check(&valid.replace("\"v\":1", "\"v\":1,\"caveats\":[]"), None);
        check(&valid.replace("\"v\":1", "\"v\":1,\"v\":1"), None);
        check(&valid.replace("\"valid\"", "\"VALID\""), None);
        check(&valid.replace("\"valid\"", "true"), None);
        check(&format!("{valid}{valid}"), None);
        for other in ["", "{}", "[]", "null", "\"valid\"", "<html>"] {
            check(other, None);
        }
    }

    #[test]
    fn the_question_is_the_one_of_the_manual() {
        assert_eq!(question("AgE"), br#"{"v":1,"token":"AgE"}"#);
    }
}

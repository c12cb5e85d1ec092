//! C2SP tlog-policy: whose logs are believed, which witnesses there are, and how many of them must
//! have cosigned a checkpoint. Lines of words; `#` begins a comment.

use std::collections::HashMap;

use super::cosignature::CosignerKey;
use super::key::{KeyError, VerifierKey};
use super::note::NoteSignature;

/// The longest policy that is read, in bytes.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;

/// The most logs, witnesses and groups, each.
pub const POLICY_NAMES_MAX: usize = 64;

/// Who must have cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    /// A group names only what stands before it, so that there is no circle.
    groups: Vec<Group>,
    quorum: Option<Member>,
}

/// One `witness` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// What the policy calls it.
    pub name: String,
    /// What its cosignatures are verified with.
    pub key: CosignerKey,
    /// Where submissions go, without a slash at its end.
    pub url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    threshold: usize,
    members: Vec<Member>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`], with the number of the line.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError { line: 1, what: Fault::TooLong });
        }
        let mut reader = Reader::default();
        for (line, words) in (1..).zip(text.lines()) {
            let words: Vec<&str> = match words.split_once('#') {
                Some((words, _)) => words.split_whitespace().collect(),
                None => words.split_whitespace().collect(),
            };
            reader.take(&words).map_err(|what| PolicyError { line, what })?;
        }
        let quorum = reader.quorum.ok_or(PolicyError { line: 1, what: Fault::NoQuorum })?;
        let Reader { logs, witnesses, groups, .. } = reader;
        Ok(Policy { logs, witnesses, groups, quorum })
    }

    /// The logs that are believed.
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// All witnesses, in their order.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether these signatures, on a checkpoint with this text, are enough. What does not verify
    /// does not count.
    pub fn is_met(&self, text: &str, signatures: &[NoteSignature]) -> bool {
        let cosigned = |witness: &Witness| {
            signatures.iter().any(|by| witness.key.cosigned_at(text, by).is_some())
        };
        let cosigned: Vec<bool> = self.witnesses.iter().map(cosigned).collect();
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let holds = |member: &&Member| match **member {
                Member::Witness(at) => cosigned[at],
                Member::Group(at) => groups[at],
            };
            groups.push(group.members.iter().filter(holds).count() >= group.threshold);
        }
        match self.quorum {
            None => true,
            Some(Member::Witness(at)) => cosigned[at],
            Some(Member::Group(at)) => groups[at],
        }
    }
}

#[derive(Default)]
struct Reader {
    names: HashMap<String, Member>,
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Option<Member>>,
}

impl Reader {
    fn take(&mut self, words: &[&str]) -> Result<(), Fault> {
        match words {
            [] => Ok(()),
            ["log", key] | ["log", key, _] => push(&mut self.logs, key.parse()?),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, threshold, members @ ..] => self.group(name, threshold, members),
            ["quorum", name] => {
                let quorum = match *name {
                    "none" => None,
                    name => Some(*self.names.get(name).ok_or(Fault::UnknownName)?),
                };
                match self.quorum.replace(quorum) {
                    None => Ok(()),
                    Some(_) => Err(Fault::TwoQuorums),
                }
            }
            _ => Err(Fault::Form),
        }
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), Fault> {
        let (key, url) = (key.parse()?, url.map(|url| url.trim_end_matches('/').to_owned()));
        self.call(name, Member::Witness(self.witnesses.len()))?;
        push(&mut self.witnesses, Witness { name: name.to_owned(), key, url })
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), Fault> {
        let find = |name: &&str| self.names.get(*name).copied().ok_or(Fault::UnknownName);
        let members: Vec<Member> = members.iter().map(find).collect::<Result<_, _>>()?;
        let threshold = match threshold {
            "all" => members.len(),
            "any" => 1,
            number => number.parse().map_err(|_| Fault::Form)?,
        };
        if !(1..=members.len()).contains(&threshold) {
            return Err(Fault::Threshold);
        }
        self.call(name, Member::Group(self.groups.len()))?;
        push(&mut self.groups, Group { threshold, members })
    }

    fn call(&mut self, name: &str, member: Member) -> Result<(), Fault> {
        let is_free = name != "none" && self.names.insert(name.to_owned(), member).is_none();
        if is_free { Ok(()) } else { Err(Fault::NameTaken) }
    }
}

fn push<T>(list: &mut Vec<T>, one: T) -> Result<(), Fault> {
    if list.len() == POLICY_NAMES_MAX {
        return Err(Fault::TooLong);
    }
    list.push(one);
    Ok(())
}

/// Why a policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PolicyError {
    /// The line, from 1.
    pub line: usize,
    what: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error(
        "want `log VKEY [URL]`, `witness NAME VKEY [URL]`, `group NAME all|any|K MEMBER...` or `quorum NAME|none`"
    )]
    Form,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("no witness and no group of that name stands before this line")]
    UnknownName,
    #[error("the name stands for something else already")]
    NameTaken,
    #[error("a group needs at least 1 and at most all of its members")]
    Threshold,
    #[error("there is a `quorum` line already")]
    TwoQuorums,
    #[error("the policy has no `quorum` line")]
    NoQuorum,
    #[error(
        "at most {POLICY_NAMES_MAX} logs, witnesses and groups each, in {POLICY_BYTES_MAX} bytes"
    )]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulator::Cosigner;

    const TEXT: &str = "ledger.example/main\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n";

    fn cosigner(at: u8) -> Cosigner {
        Cosigner::new(format!("witness.example/w{at}"), &[at; 32]).unwrap()
    }

    /// Witnesses w1 to w4, then the lines.
    fn policy(lines: &str) -> Result<Policy, PolicyError> {
        let witness = |at| format!("witness w{at} {}\n", cosigner(at).cosigner_key());
        Policy::parse(&((1..=4).map(witness).collect::<String>() + lines))
    }

    fn check(lines: &str, by: &[u8], expected: bool) {
        let signatures: Vec<_> =
            by.iter().map(|&at| cosigner(at).cosign(TEXT, 1_700_000_000).unwrap()).collect();
        assert_eq!(policy(lines).unwrap().is_met(TEXT, &signatures), expected, "{lines} {by:?}");
    }

    #[test]
    fn a_quorum_counts_witnesses_and_groups() {
        check("quorum none", &[], true);
        check("quorum w2", &[1, 3], false);
        check("quorum w2", &[2], true);
        let two = "group g 2 w1 w2 w3\nquorum g";
        check(two, &[1], false);
        check(two, &[1, 1], false);
        check(two, &[1, 4], false);
        check(two, &[3, 1], true);
        let nested = "group a any w1 w2\ngroup b all w3 w4\ngroup both all a b\nquorum both # all";
        check(nested, &[1, 2, 3], false);
        check(nested, &[2, 3, 4], true);
    }

    #[test]
    fn a_cosignature_of_another_text_does_not_count() {
        let other = cosigner(1).cosign(&TEXT.replace("\n8\n", "\n9\n"), 1_700_000_000).unwrap();
        assert!(!policy("quorum w1").unwrap().is_met(TEXT, &[other]));
    }

    #[test]
    fn what_is_no_policy_is_refused_by_its_line() {
        for (lines, line, what) in [
            ("", 1, Fault::NoQuorum),
            ("quorum w5", 5, Fault::UnknownName),
            ("\n\nquorum", 7, Fault::Form),
            ("group g 0 w1\nquorum g", 5, Fault::Threshold),
            ("group g 3 w1 w2\nquorum g", 5, Fault::Threshold),
            ("group g all\nquorum g", 5, Fault::Threshold),
            ("group g most w1\nquorum g", 5, Fault::Form),
            ("group g any g\nquorum g", 5, Fault::UnknownName),
            ("group w1 any w2\nquorum w1", 5, Fault::NameTaken),
            ("group none any w2\nquorum none", 5, Fault::NameTaken),
            ("quorum w1\nquorum w2", 6, Fault::TwoQuorums),
            ("witness x y\nquorum none", 5, Fault::Key(KeyError::Form)),
        ] {
            assert_eq!(policy(lines), Err(PolicyError { line, what }), "{lines}");
        }
        let long = "#".repeat(POLICY_BYTES_MAX + 1);
        assert!(Policy::parse(&long).is_err());
    }

    #[test]
    fn names_are_bounded() {
        let groups = |count: usize| -> String {
            (0..count).map(|at| format!("group g{at} any w1\n")).collect::<String>() + "quorum none"
        };
        assert!(policy(&groups(POLICY_NAMES_MAX)).is_ok());
        let error = policy(&groups(POLICY_NAMES_MAX + 1)).unwrap_err();
        assert_eq!(error.what, Fault::TooLong);
    }
}

//! What is compared: a ledger at work, or an export of one. Either tells the root of any of its
//! prefixes and shows that its signed tree begins with that prefix.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use super::lines::{Lines, Told};
use super::report::{AuditError, Finding};
use crate::accumulator::{
    Checkpoint, Frontier, Hash, HashAlgo, LeafRange, SignedNote, VerifierKey,
};
use crate::client::{Client, Retry};
use crate::ledger::entry::Seq;

/// Leaves between two of the trees that are kept of a file.
const STEP: usize = 1024;

/// A ledger or an export.
pub enum Prefixes {
    /// A ledger at work.
    Ledger(LedgerPrefixes),
    /// An export.
    File(FilePrefixes),
}

impl Prefixes {
    /// The hash of its tree.
    pub fn hash(&self) -> HashAlgo {
        match self {
            Prefixes::Ledger(ledger) => ledger.hash,
            Prefixes::File(file) => file.hash,
        }
    }

    /// The origin of its checkpoint.
    pub fn origin(&self) -> &str {
        match self {
            Prefixes::Ledger(ledger) => ledger.checkpoint.origin(),
            Prefixes::File(file) => &file.origin,
        }
    }

    /// The sizes whose roots it can tell, both included.
    pub fn sizes(&self) -> (Seq, Seq) {
        match self {
            Prefixes::Ledger(ledger) => (0, ledger.checkpoint.size()),
            Prefixes::File(file) => {
                let before = file.trees[0].size();
                (before, before + file.leaves.len() as Seq)
            }
        }
    }

    /// The root of the first `size` entries, which must be one of [`Prefixes::sizes`].
    ///
    /// # Errors
    /// When a ledger does not answer, or contradicts its own checkpoint.
    pub async fn root_at(&self, size: Seq) -> Result<Hash, AuditError> {
        match self {
            Prefixes::Ledger(ledger) => ledger.root_at(size).await,
            Prefixes::File(file) => Ok(file.root_at(size)),
        }
    }
}

/// A ledger at work, as far as it had published when it was asked first.
pub struct LedgerPrefixes {
    client: Client,
    hash: HashAlgo,
    checkpoint: Checkpoint,
}

impl LedgerPrefixes {
    /// Asks for what is published; with a key the signature is checked.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn open(client: Client, key: Option<&VerifierKey>) -> Result<Self, AuditError> {
        let note = Retry::default().run(|| client.checkpoint(), |_, _| ()).await?;
        let checkpoint = open_note(&note, key).map_err(|p| strange(&client, &p))?;
        let version = Retry::default().run(|| client.probe("version"), |_, _| ()).await?;
        let hash = serde_json::from_value(version["hash"].clone());
        let hash = hash.map_err(|_| strange(&client, &"/version names no hash"))?;
        Ok(LedgerPrefixes { client, hash, checkpoint })
    }

    /// An empty range has a proof of nothing but the tree before it and that of all.
    async fn root_at(&self, size: Seq) -> Result<Hash, AuditError> {
        let whole = self.checkpoint.size();
        let ask = || self.client.range_proof(size + 1, size, whole);
        let answer = Retry::default().run(ask, |_, _| ()).await?;
        let proof: Result<Vec<Hash>, _> = answer.hashes.iter().map(|hash| hash.parse()).collect();
        let proof = proof.map_err(|error| strange(&self.client, &error))?;
        let range = LeafRange::new(self.hash, size);
        let tree = range.before(whole, &proof, &self.checkpoint.root()).map_err(|error| {
            let problem =
                format!("it does not show that its checkpoint has {size} entries: {error}");
            strange(&self.client, &problem)
        })?;
        Ok(tree.root(self.hash))
    }
}

fn strange(client: &Client, problem: &dyn std::fmt::Display) -> AuditError {
    AuditError::Source(format!("{}: {problem}", client.address()))
}

/// An export whose entries lead to its checkpoint. 34 bytes an entry.
pub struct FilePrefixes {
    hash: HashAlgo,
    origin: String,
    leaves: Vec<Hash>,
    /// The trees before the range, and after each [`STEP`] of its leaves.
    trees: Vec<Frontier>,
}

impl FilePrefixes {
    /// Reads all of the file; with a key the signature is checked.
    ///
    /// # Errors
    /// [`AuditError`], also when it is no export whose entries lead to its checkpoint.
    pub fn open(path: &Path, key: Option<&VerifierKey>) -> Result<Self, AuditError> {
        let strange = |problem: &dyn std::fmt::Display| {
            AuditError::Source(format!("{}: {problem}", path.display()))
        };
        let wrong = |finding: Finding| {
            let line = finding.line.unwrap_or_default();
            strange(&format_args!("line {line}: {}; `audit verify` says more", finding.problem))
        };
        let mut lines = Lines::open(path)?;
        let header = lines.header()?.map_err(&wrong)?;
        let (sender, told) = sync_channel(8);
        let mut range = LeafRange::new(header.hash, header.from - 1);
        let (mut leaves, mut trailer) = (Vec::new(), None);
        let read = std::thread::scope(|scope| {
            let (lines, header) = (&mut lines, &header);
            let reading = scope.spawn(move || lines.send(header, &sender));
            for told in told {
                match told {
                    Told::Entries(lines) => {
                        leaves.extend(lines.iter().map(|line| line.leaf));
                        lines.iter().for_each(|line| range.push(line.leaf));
                    }
                    Told::Trailer(_, last) => trailer = Some(Ok(last)),
                    Told::Wrong(finding) => trailer = Some(Err(finding)),
                }
            }
            reading.join().expect("reading has no panic of its own")
        });
        read?;
        let trailer = trailer.ok_or_else(|| strange(&"it has no trailer"))?.map_err(&wrong)?;
        let checkpoint = open_note(&trailer.checkpoint, key).map_err(|error| strange(&error))?;
        let before = range.before(header.size, &trailer.proof, &checkpoint.root());
        let before = before.map_err(|error| strange(&error))?;
        let trees = trees(header.hash, before, &leaves);
        Ok(FilePrefixes { hash: header.hash, origin: header.origin, leaves, trees })
    }

    fn root_at(&self, size: Seq) -> Hash {
        let at = size.saturating_sub(self.trees[0].size()) as usize;
        let mut tree = self.trees[at / STEP].clone();
        for leaf in &self.leaves[at / STEP * STEP..at] {
            tree.push(self.hash, *leaf);
        }
        tree.root(self.hash)
    }
}

fn trees(hash: HashAlgo, before: Frontier, leaves: &[Hash]) -> Vec<Frontier> {
    let mut trees = vec![before.clone()];
    let mut tree = before;
    for step in leaves.chunks(STEP) {
        step.iter().for_each(|leaf| tree.push(hash, *leaf));
        trees.push(tree.clone());
    }
    trees
}

/// The checkpoint of a note, whose signature is checked when there is a key.
fn open_note(note: &str, key: Option<&VerifierKey>) -> Result<Checkpoint, String> {
    let told = |error: &dyn std::fmt::Display| format!("its checkpoint: {error}");
    match key {
        Some(key) => Checkpoint::open(note.as_bytes(), key.name(), std::slice::from_ref(key))
            .map_err(|error| told(&error)),
        None => {
            let note = SignedNote::parse(note.as_bytes()).map_err(|error| told(&error))?;
            Checkpoint::parse(note.text()).map_err(|error| told(&error))
        }
    }
}

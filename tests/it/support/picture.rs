//! All that a ledger shows, read over its API, and checked for what must hold of any ledger: no gap,
//! no id twice, canonical forms that say what the fields say, value conserved, and published roots
//! that are those of the entries.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use ron_ledger::accumulator::{Checkpoint, Frontier, Hash, HashAlgo, SignedNote};
use ron_ledger::client::Client;
use ron_ledger::http::dto::{AssetOut, BalanceOut, EntryOut};
use ron_ledger::ledger::encode::{decode, encode};

/// A ledger that publishes later than this has hung.
const PATIENCE: Duration = Duration::from_secs(10);

const PAGE: usize = 1000;

#[derive(Default)]
pub struct Picture {
    /// The canonical forms in order: seq = index + 1.
    pub canonical: Vec<Vec<u8>>,
    /// The seq of each id.
    pub seqs: HashMap<String, u64>,
    /// The root at each size, recomputed from the canonical forms: size = index.
    pub roots: Vec<Hash>,
    pub balances: BTreeMap<String, Vec<BalanceOut<'static>>>,
    pub supply: Vec<AssetOut<'static>>,
    frontier: Frontier,
}

impl Picture {
    /// Of a ledger that nobody writes to meanwhile.
    pub async fn take(client: &Client) -> Self {
        let mut picture = Picture { roots: vec![HashAlgo::Sha256.empty()], ..Picture::default() };
        picture.go_on(client).await;
        picture
    }

    /// Reads what came after it, and balances and supply anew; entries that it has are not read again.
    pub async fn go_on(&mut self, client: &Client) {
        let mut accounts: BTreeSet<String> = self.balances.keys().cloned().collect();
        let mut from = Some(self.size() + 1);
        while let Some(next) = from {
            let page = client.entries(next, PAGE).await.unwrap();
            for entry in page.entries {
                self.add(&entry);
                let names = [Some(entry.account), entry.counterparty].into_iter().flatten();
                accounts.extend(names.map(Cow::into_owned));
            }
            from = page.next;
        }
        for account in accounts {
            let found = client.account(&account).await.unwrap();
            assert_eq!(found.size, self.size());
            self.balances.insert(account, found.assets);
        }
        let supply = client.supply().await.unwrap();
        assert_eq!(supply.size, self.size());
        self.supply = supply.assets;
        self.assert_conserved();
    }

    fn add(&mut self, entry: &EntryOut<'_>) {
        let bytes = hex::decode(entry.canonical.as_ref()).unwrap();
        let sequenced = decode(&bytes).unwrap();
        assert_eq!(encode(&sequenced), bytes);
        assert_eq!((entry.seq, sequenced.seq), (self.size() + 1, self.size() + 1), "a gap");
        assert_eq!(entry.id, sequenced.entry.id.to_string());
        let before = self.seqs.insert(entry.id.to_string(), entry.seq);
        assert_eq!(before, None, "an id twice: {}", entry.id);
        self.frontier.push(HashAlgo::Sha256, HashAlgo::Sha256.leaf(&bytes));
        self.roots.push(self.frontier.root(HashAlgo::Sha256));
        self.canonical.push(bytes);
    }

    pub fn size(&self) -> u64 {
        self.canonical.len() as u64
    }

    pub fn root(&self) -> Hash {
        self.roots[self.canonical.len()]
    }

    /// Checks a root that someone was told.
    pub fn assert_root(&self, size: u64, root: &str) {
        let ours = self.roots.get(size as usize).map(Hash::to_string);
        assert_eq!(ours.as_deref(), Some(root), "the root at {size}");
    }

    fn assert_conserved(&self) {
        let mut sums = BTreeMap::<&str, u128>::new();
        for balance in self.balances.values().flatten() {
            *sums.entry(&balance.asset).or_default() += balance.available.0 + balance.held.0;
        }
        for asset in &self.supply {
            assert_eq!(asset.circulating.0, asset.minted.0 - asset.burned.0);
            assert_eq!(sums.remove(asset.asset.as_ref()), Some(asset.circulating.0), "{asset:?}");
        }
        assert!(sums.is_empty(), "value of no asset: {sums:?}");
    }

    /// Waits until the last root is published, and checks each published root and the checkpoint.
    /// Gives the sizes at which there is one.
    pub async fn check_published(&self, client: &Client) -> Vec<u64> {
        let started = Instant::now();
        while self.size() > 0 && published(client).await.map_or(0, |(size, _)| size) < self.size() {
            assert!(started.elapsed() < PATIENCE, "the last root is not published");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if let Some((size, root)) = published(client).await {
            self.assert_root(size, &root);
        }
        let (mut sizes, mut since) = (Vec::new(), Some(0));
        while let Some(after) = since {
            let page = client.roots(after, PAGE).await.unwrap();
            for row in &page.roots {
                self.assert_root(row.seq, &row.root);
                assert!(sizes.last().is_none_or(|last| *last < row.seq));
                sizes.push(row.seq);
            }
            since = page.next;
        }
        assert_eq!(sizes.last().copied().unwrap_or(0), self.size());
        sizes
    }
}

/// Size and root, in hex, of the newest signed checkpoint.
pub async fn published(client: &Client) -> Option<(u64, String)> {
    let note = client.checkpoint().await.ok()?;
    let note = SignedNote::parse(note.as_bytes()).unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    Some((checkpoint.size(), checkpoint.root().to_string()))
}

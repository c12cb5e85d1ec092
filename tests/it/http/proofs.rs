//! Proofs, tiles and earlier checkpoints, as an auditor asks for them: each is held against the
//! definitions, and what is not published is not shown.

use std::collections::BTreeMap;

use ron_ledger::accumulator::{
    Checkpoint, Frontier, Hash, HashAlgo, TlogProof, VerifierKey, verify_consistency,
    verify_inclusion,
};
use ron_ledger::capability::{Action, Caveat};
use serde_json::{Value, json};

use super::support::{Edge, Reply};
use crate::support::entries::mint;
use crate::support::node::Node;

/// A ledger of so many published entries, three in a group as far as that goes.
async fn filled(hash: &str, size: usize) -> Edge {
    let edge = Edge::with(&[("ledger.hash", hash)]).await;
    let batch: Vec<_> = (0..size).map(|_| mint("alice", 1)).collect();
    let (small, large) = batch.split_at(batch.len().min(30));
    for group in small.chunks(3).chain(large.chunks(500)) {
        assert_eq!(edge.send(group).await.status, 200);
    }
    published(&edge, size as u64).await;
    edge
}

async fn published(edge: &Edge, size: u64) {
    let is_published = |node: &Node| {
        node.pipeline.published().is_some_and(|newest| newest.checkpoint.size() == size)
    };
    edge.node.until("the size is published", is_published).await;
}

/// Without a token.
async fn anyone(edge: &Edge, path: &str) -> Reply {
    edge.call(edge.request("GET", path)).await
}

async fn json_of(edge: &Edge, path: &str) -> Value {
    let reply = anyone(edge, path).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

async fn text_of(edge: &Edge, path: &str) -> Reply {
    let request = edge.request("GET", path).header("accept", "text/x.tlog.proof;q=0.9, */*");
    edge.call(request).await
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect()
}

fn key(edge: &Edge) -> VerifierKey {
    edge.node.pipeline.verifier_key().clone()
}

/// The leaf hashes and the root of each size, from the entries.
fn tree(edge: &Edge, algo: HashAlgo) -> (Vec<Hash>, Vec<Hash>) {
    let entries = edge.node.pipeline.reader().entries(1, u64::MAX, usize::MAX).unwrap();
    let leaves: Vec<_> = entries.iter().map(|entry| algo.leaf(&entry.bytes)).collect();
    let (mut frontier, mut roots) = (Frontier::new(), vec![algo.empty()]);
    for leaf in &leaves {
        frontier.push(algo, *leaf);
        roots.push(frontier.root(algo));
    }
    (leaves, roots)
}

async fn check_proofs(hash: &str) {
    let (edge, algo) = (filled(hash, 600).await, hash.parse().unwrap());
    let (leaves, roots) = tree(&edge, algo);
    for (seq, size) in [(1, 1), (1, 600), (600, 600), (256, 257), (257, 513), (31, 600), (5, 6)] {
        let told = json_of(&edge, &format!("/proofs/inclusion?seq={seq}&size={size}")).await;
        let (leaf, root) = (leaves[seq - 1], roots[size]);
        assert_eq!(told["hash"], hash);
        assert_eq!((&told["seq"], &told["index"]), (&json!(seq), &json!(seq - 1)));
        assert_eq!((&told["size"], &told["root"]), (&json!(size), &json!(root.to_string())));
        assert_eq!(told["leaf"], leaf.to_string());
        let (index, size, proof) = (seq as u64 - 1, size as u64, hashes(&told["proof"]));
        assert_eq!(verify_inclusion(algo, &leaf, index, size, &proof, &root), Ok(()));
    }
    for (from, to) in [(0, 600), (1, 600), (255, 600), (256, 512), (300, 301), (599, 600), (7, 7)] {
        let told = json_of(&edge, &format!("/proofs/consistency?from={from}&to={to}")).await;
        let (old, new) = (roots[from], roots[to]);
        assert_eq!(told["from_root"], old.to_string());
        assert_eq!(told["to_root"], new.to_string());
        let proof = hashes(&told["proof"]);
        assert_eq!(verify_consistency(algo, from as u64, to as u64, &proof, &old, &new), Ok(()));
    }
    let whole = json_of(&edge, "/proofs/inclusion?seq=9").await;
    assert_eq!(whole["size"], 600, "the published size is the default");
    assert_eq!(json_of(&edge, "/proofs/consistency?from=9").await["to"], 600);
}

#[actix_rt::test]
async fn proofs_over_http_hold_on_a_sha256_ledger() {
    check_proofs("sha256").await;
}

#[actix_rt::test]
async fn proofs_over_http_hold_on_a_blake3_ledger() {
    check_proofs("blake3").await;
}

#[actix_rt::test]
async fn a_text_proof_has_its_signed_checkpoint_and_makes_a_receipt() {
    let edge = filled("sha256", 40).await;
    let (leaves, _) = tree(&edge, HashAlgo::Sha256);
    for (path, seq, size) in [
        ("/proofs/inclusion?seq=40", 40, 40),
        ("/proofs/inclusion?seq=2&size=3", 2, 3),
        ("/proofs/inclusion?seq=2&size=30", 2, 30),
    ] {
        let reply = text_of(&edge, path).await;
        assert_eq!(
            (reply.status, &reply.headers["content-type"]),
            (200, &"text/x.tlog.proof".parse().unwrap())
        );
        let proof = TlogProof::parse(reply.text.as_bytes()).unwrap();
        assert_eq!(proof.index(), seq - 1);
        let (leaf, key) = (leaves[seq as usize - 1], key(&edge));
        let checkpoint =
            proof.verify(HashAlgo::Sha256, &leaf, key.name(), std::slice::from_ref(&key));
        assert_eq!(checkpoint.unwrap().size(), size);
    }
    // A proof there is, but nobody signed this size.
    let path = "/proofs/inclusion?seq=2&size=4";
    assert_eq!(anyone(&edge, path).await.status, 200);
    let refused = text_of(&edge, path).await;
    assert_eq!((refused.status, refused.reason()), (404, "not_found".to_owned()));
}

#[actix_rt::test]
async fn an_id_is_looked_up_for_whoever_may_read_the_entry() {
    let edge = Edge::new().await;
    let entry = mint("team/a", 5);
    edge.send(&[mint("other", 1), entry.clone()]).await;
    published(&edge, 2).await;
    let path = format!("/proofs/inclusion?id={}", entry.id);
    let told = edge.get(&path).await;
    assert_eq!((told.status, &told.json()["seq"]), (200, &json!(2)), "{told:?}");
    assert_eq!(anyone(&edge, &path).await.status, 401);
    let with = async |prefix: &str| {
        let caveats =
            [Caveat::Actions(vec![Action::Read]), Caveat::AccountPrefix(prefix.to_owned())];
        let token = edge.node.keys.token(&caveats);
        edge.call(edge.request("GET", &path).bearer_auth(token)).await.status
    };
    assert_eq!((with("team/").await, with("other").await), (200, 403));
    let unknown = edge.get(&format!("/proofs/inclusion?id={}", mint("x", 1).id)).await;
    assert_eq!((unknown.status, unknown.reason()), (404, "not_found".to_owned()));
}

#[actix_rt::test]
async fn every_listed_root_has_a_checkpoint_and_no_other_size_has() {
    let edge = filled("sha256", 40).await;
    let key = key(&edge);
    let open = |note: &str| {
        Checkpoint::open(note.as_bytes(), key.name(), std::slice::from_ref(&key)).unwrap()
    };
    let rows = json_of(&edge, "/roots").await;
    let rows = rows["roots"].as_array().unwrap().iter();
    let mut roots: BTreeMap<u64, String> = rows
        .map(|row| (row["seq"].as_u64().unwrap(), row["root"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(roots.len(), 11);
    roots.insert(0, HashAlgo::Sha256.empty().to_string());
    for size in 0..=42 {
        let path = format!("/checkpoint?size={size}");
        let reply = anyone(&edge, &path).await;
        let Some(root) = roots.get(&size) else {
            assert_eq!((reply.status, reply.reason()), (404, "not_found".to_owned()), "{size}");
            continue;
        };
        assert_eq!(reply.headers["cache-control"], "public, max-age=3600");
        let checkpoint = open(&reply.text);
        assert_eq!((checkpoint.size(), &checkpoint.root().to_string()), (size, root));
        assert_eq!(anyone(&edge, &path).await.text, reply.text, "the same bytes each time");
    }
    assert_eq!(
        anyone(&edge, "/checkpoint?size=40").await.text,
        anyone(&edge, "/checkpoint").await.text
    );
}

/// A GET whose body is bytes: status and body.
async fn bytes(edge: &Edge, path: &str, token: Option<&str>) -> (u16, Vec<u8>) {
    let request = edge.request("GET", path);
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.bytes().await.unwrap().to_vec())
}

#[actix_rt::test]
async fn tiles_of_every_width_are_the_beginning_of_the_full_one() {
    let edge = filled("sha256", 600).await;
    let (leaves, roots) = tree(&edge, HashAlgo::Sha256);
    let row = |range: std::ops::Range<usize>| {
        leaves[range].iter().flat_map(|hash| hash.0).collect::<Vec<u8>>()
    };
    let full = (200, row(0..256));
    assert_eq!(bytes(&edge, "/tile/0/000", None).await, full);
    for width in [1, 2, 88, 255] {
        let path = format!("/tile/0/000.p/{width}");
        assert_eq!(bytes(&edge, &path, None).await, (200, row(0..width)));
    }
    assert_eq!(bytes(&edge, "/tile/0/002.p/88", None).await, (200, row(512..600)));
    let above = bytes(&edge, "/tile/1/000.p/2", None).await;
    assert_eq!((above.0, &above.1[..32]), (200, &roots[256].0[..]));
    for missing in [
        "/tile/0/002",
        "/tile/0/002.p/89",
        "/tile/0/003.p/1",
        "/tile/1/000",
        "/tile/2/000.p/1",
        "/tile/63/000.p/1",
    ] {
        assert_eq!(bytes(&edge, missing, None).await.0, 404, "{missing}");
    }
    let reply = anyone(&edge, "/tile/0/000").await;
    assert_eq!(reply.headers["content-type"], "application/octet-stream");
    assert_eq!(reply.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(reply.headers["access-control-allow-origin"], "*");
}

#[actix_rt::test]
async fn bundles_of_entries_are_for_readers_of_the_whole_ledger_unless_they_are_public() {
    let edge = filled("sha256", 300).await;
    let stored = edge.node.pipeline.reader().entries(1, 300, 300).unwrap();
    let bundle = |range: std::ops::Range<usize>| {
        let framed = stored[range]
            .iter()
            .map(|entry| [&(entry.bytes.len() as u16).to_be_bytes()[..], &entry.bytes].concat());
        framed.collect::<Vec<_>>().concat()
    };
    let master = edge.master.clone();
    assert_eq!(bytes(&edge, "/tile/entries/000", Some(&master)).await, (200, bundle(0..256)));
    assert_eq!(
        bytes(&edge, "/tile/entries/001.p/44", Some(&master)).await,
        (200, bundle(256..300))
    );
    assert_eq!(bytes(&edge, "/tile/entries/001", Some(&master)).await.0, 404);
    assert_eq!(bytes(&edge, "/tile/entries/000", None).await.0, 401);
    let part = [Caveat::Actions(vec![Action::Read]), Caveat::AccountPrefix("al".to_owned())];
    let part = edge.node.keys.token(&part);
    assert_eq!(bytes(&edge, "/tile/entries/000", Some(&part)).await.0, 403);
    assert_eq!(edge.get("/tile/entries/000.p/1").await.headers["cache-control"], "no-store");

    let open = Edge::with(&[("tlog.public_entries", "true")]).await;
    open.send(&[mint("alice", 1)]).await;
    published(&open, 1).await;
    let reply = anyone(&open, "/tile/entries/000.p/1").await;
    assert_eq!(reply.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(anyone(&open, "/entries/1").await.status, 401);
}

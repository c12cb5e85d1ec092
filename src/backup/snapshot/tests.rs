//! Snapshots of made-up files: packed, read back, damaged.

use super::*;
use crate::accumulator::Signer;
use crate::backup::pack::Packer;
use crate::ledger::names::Asset;

fn signer() -> Signer {
    Signer::new("example.org/log", &[7; 32]).unwrap()
}

const FILES: [(&str, usize); 6] = [
    ("caps/revoked", 3),
    ("signed/checkpoint", 512),
    ("derived/000004.sst", 70_000),
    ("derived/CURRENT", 0),
    ("truth/000007.log", 513),
    ("truth/MANIFEST-000005", 1_000_000),
];

/// A snapshot of made-up files, packed at `path`, and how long its tar says that it is.
fn packed(dir: &Path, path: &Path, signer: &Signer) -> Snapshot {
    let copy = dir.join("copy");
    for (name, bytes) in FILES {
        std::fs::create_dir_all(copy.join(name).parent().unwrap()).unwrap();
        let content: Vec<u8> = (0..bytes).map(|at| (at * at / 7) as u8).collect();
        std::fs::write(copy.join(name), content).unwrap();
    }
    std::fs::write(copy.join("derived/.hidden"), b"not ours").unwrap();
    let genesis = Genesis {
        hash: HashAlgo::Sha256,
        origin: "example.org/log".into(),
        default_asset: Asset::new("RON").unwrap(),
        parent: None,
    };
    let head = Head { seq: 9, root: Hash([9; 32]), time: 77 };
    let draft = Draft::new(Staging::of(copy), &genesis, head, 8, 1).unwrap();
    let note = signer.sign(draft.statement().text()).unwrap().encode();
    let snapshot = draft.signed(note);
    let mut packer = Packer::new(File::create(path).unwrap()).unwrap();
    snapshot.write(&mut packer).unwrap();
    packer.finish().unwrap();
    snapshot
}

#[test]
fn files_come_back_as_they_were_and_the_tar_is_as_long_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let (path, into) = (dir.path().join("one.tar.zst"), dir.path().join("new"));
    let snapshot = packed(dir.path(), &path, &signer());
    let mut tar = Vec::new();
    snapshot.write(&mut tar).unwrap();
    assert_eq!(tar.len() as u64, snapshot.tar_bytes());
    let keys = [signer().verifier_key().clone()];
    assert_eq!(manifest_of(&path, Some(&keys)).unwrap(), *snapshot.manifest());
    std::fs::create_dir(&into).unwrap();
    let manifest = unpack(&path, &keys, &into, &|_, _| ()).unwrap();
    assert_eq!((manifest.files, manifest.entries, manifest.signed_size), (6, 9, 8));
    for (name, bytes) in FILES {
        let (one, other) = (into.join(name), snapshot.draft.staging.dir().join(name));
        assert_eq!(std::fs::read(&one).unwrap().len(), bytes);
        assert_eq!(std::fs::read(one).unwrap(), std::fs::read(other).unwrap(), "{name}");
    }
    drop(snapshot);
    assert!(!dir.path().join("copy").exists(), "the copy goes");
}

#[test]
fn another_key_and_each_changed_file_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.tar.zst");
    let snapshot = packed(dir.path(), &path, &signer());
    let keys = [signer().verifier_key().clone()];
    let stranger = [Signer::new("example.org/log", &[8; 32]).unwrap().verifier_key().clone()];
    let refused = verify(&path, Some(&stranger), &|_, _| ()).unwrap_err();
    assert!(matches!(refused, SnapshotError::Manifest(_)), "{refused}");
    // What a tar may be changed to without damage to its form.
    for (name, bytes) in FILES.into_iter().filter(|(_, bytes)| *bytes > 0) {
        let file = snapshot.draft.staging.dir().join(name);
        let whole = std::fs::read(&file).unwrap();
        let mut changed = whole.clone();
        changed[bytes / 2] ^= 1;
        std::fs::write(&file, changed).unwrap();
        let mut packer = Packer::new(File::create(&path).unwrap()).unwrap();
        snapshot.write(&mut packer).unwrap();
        packer.finish().unwrap();
        let refused = verify(&path, Some(&keys), &|_, _| ()).unwrap_err().to_string();
        assert!(refused.starts_with(name), "{refused}");
        std::fs::write(&file, whole).unwrap();
    }
}

#[test]
fn no_name_leads_out_of_the_directory() {
    for name in ["truth/CURRENT", "caps/revoked", "derived/000012.sst", "signed/checkpoint"] {
        assert!(is_name(name), "{name}");
    }
    for name in ["truth", "truth/", "truth/..", "truth/a/b", "../truth/a", "/etc/passwd", "keys/a"]
    {
        assert!(!is_name(name), "{name}");
    }
    for name in ["truth/.hidden", "truth/a b", "truth/a\nb", "", "/", "state/mode"] {
        assert!(!is_name(name), "{name}");
    }
}

//! What the programs are made of, as far as it can be told without a network or a tool: `deny.toml`
//! says the rest.

use crate::house::read;

/// The part of the lock file of each crate.
fn crates(lock: &str) -> Vec<&str> {
    lock.split("[[package]]\n").skip(1).collect()
}

fn unfit(part: &str) -> Option<String> {
    let field = |key: &str| {
        part.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
    };
    let name = field("name").unwrap_or_default();
    let own = ["ron-ledger", "ron-ledger-fuzz"].contains(&name) && field("source").is_none();
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    let fits = own
        || (field("source") == Some(registry)
            && field("checksum").is_some_and(|sum| sum.len() == 64));
    (!fits).then(|| format!("{name} {:?}", field("source")))
}

#[test]
fn every_crate_is_from_the_one_registry_with_a_checksum() {
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let text = read(lock);
        let crates = crates(&text);
        assert!(crates.len() > 100, "{lock}: {}", crates.len());
        let unfit: Vec<String> = crates.into_iter().filter_map(unfit).collect();
        assert_eq!(unfit, Vec::<String>::new(), "{lock}");
    }
    assert!(unfit("name = \"x\"\nsource = \"git+https://example/x\"\n").is_some());
    assert!(unfit("name = \"x\"\n").is_some());
}

/// What is banned by name in `deny.toml`, here too: a build without the tool must not let it in.
#[test]
fn no_second_tls_library_and_no_old_http_2_comes_in() {
    let lock = read("Cargo.lock");
    for name in ["openssl", "openssl-sys", "native-tls"] {
        assert!(!lock.contains(&format!("\nname = \"{name}\"\n")), "{name}");
        assert!(read("deny.toml").contains(&format!("crate = \"{name}\"")), "{name}");
    }
    assert!(!lock.contains("name = \"h2\"\nversion = \"0.3"));
}

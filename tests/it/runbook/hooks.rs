//! What an operator, or a client, has done before a command of the page.

use rcgen::SanType;
use ron_ledger::client::unit::to_wire;
use ron_ledger::ledger::entry::{Entry, EntryId};
use ron_ledger::ledger::names::KeyName;

use super::sandbox::{PROFILE, Sandbox};
use crate::support::certificates::Certificates;
use crate::support::entries::mint;

const CONFIG: &str = "/etc/ron/ledger.toml";

/// The id that the page asks for.
const ID: &str = "9f0c6a52-6f0f-4d0b-9a55-0d9f8c1b7e21";

const ALL: &str = "mint,burn,transfer,credit,debit,hold,capture,release,reverse,read";

/// As the text above the first start asks for.
pub fn configured(sandbox: &mut Sandbox) {
    let config = sandbox.read(CONFIG);
    let own = config.replace("origin = \"localhost/ron-ledger\"", "origin = \"ledger.example/1\"");
    assert_ne!(config, own, "the shipped file has the origin to be replaced");
    assert!(own.contains("otlp_endpoint = \"http"), "the shipped file names a collector");
    sandbox.write(CONFIG, &own);
}

/// The configuration with this at its end, and a daemon that runs with it.
fn configure_more(sandbox: &Sandbox, text: &str) {
    let config = sandbox.read(CONFIG);
    sandbox.write(CONFIG, &format!("{config}\n{}", sandbox.place(text)));
    restarted(sandbox);
}

fn restarted(sandbox: &Sandbox) {
    sandbox.must("systemctl restart ron-ledger");
    until_ready(sandbox);
}

fn until_ready(sandbox: &Sandbox) {
    sandbox.must(
        "for i in {1..200}; do ron-ledgerctl status >up 2>&1 && exit; sleep 0.1; done; exit 1",
    );
}

/// A token for everything, once.
fn token(sandbox: &Sandbox) {
    let mint = "ron-ledgerctl cap mint --config /etc/ron/ledger.toml --id writer --expires 1h";
    sandbox.must(&format!("[ -e writer.token ] || {mint} --action {ALL} --out writer.token"));
}

/// The ledger has entries enough for the numbers on the page.
pub fn entries(sandbox: &mut Sandbox) {
    token(sandbox);
    let send = "ron-ledgerctl workload --send --entries 6000 --token-file writer.token";
    sandbox.must(send);
    // Sent again, it is the same one.
    if !sandbox.path("entries.jsonl").exists() {
        let own = Entry {
            id: EntryId::from_bytes(
                u128::from_str_radix(&ID.replace('-', ""), 16).unwrap().to_be_bytes(),
            ),
            capability: KeyName::new("writer").unwrap(),
            ..mint("acct:shop/1", 5)
        };
        let own = serde_json::to_string(&to_wire(&own)).unwrap();
        sandbox.write("entry.json", &own);
        sandbox.write("entries.jsonl", &format!("{own}\n"));
    }
    sandbox.must("ron-ledgerctl ingest --strict --file entries.jsonl --token-file writer.token");
    published(sandbox);
}

/// The last root is signed.
fn published(sandbox: &Sandbox) {
    sandbox.must(&format!(
        "for i in {{1..200}}; do ron-ledgerctl receipt --id {ID} --out waited --token-file writer.token 2>waited && exit; sleep 0.1; \
         done; exit 1"
    ));
}

/// The verifier key; of a micronode, whose key is new at each start, by the only way there is.
pub fn vkey(sandbox: &mut Sandbox) {
    sandbox.must(match PROFILE {
        "macronode" => "ron-ledgerctl key show --config /etc/ron/ledger.toml > ledger.vkey",
        _ => "curl -s $RON_LEDGER_URL/version | grep -o 'ledger.example[^\"]*+[^\"]*' | head -1 > ledger.vkey",
    });
}

pub fn auditor(sandbox: &mut Sandbox) {
    sandbox.must(
        "ron-ledgerctl cap mint --config /etc/ron/ledger.toml --id auditor --expires 1h \
         --action read --out auditor.token",
    );
}

/// A daemon with entries, and the tokens and the key that an auditor has. What was issued before may have
/// been revoked; of a micronode nothing has outlived the restarts.
pub fn audited(sandbox: &mut Sandbox) {
    started(sandbox);
    sandbox.must("rm -f writer.token auditor.token");
    entries(sandbox);
    auditor(sandbox);
    vkey(sandbox);
}

pub fn stopped(sandbox: &mut Sandbox) {
    sandbox.must("systemctl stop ron-ledger");
}

pub fn started(sandbox: &mut Sandbox) {
    sandbox.must("systemctl start ron-ledger");
    until_ready(sandbox);
}

/// What was moved aside is put back, and the daemon goes on with it.
pub fn put_back(sandbox: &mut Sandbox) {
    sandbox.must("cp -a /var/backups/ron-ledger-with-a-gap /var/lib/ron-ledger");
    started(sandbox);
    sandbox.must("ron-ledgerctl safe-mode enter");
}

/// Writes pass, whatever the commands above have done: also while a daemon that was drained has not ended,
/// and while one that starts says that it is not ready to be cleared.
pub fn unbarred(sandbox: &mut Sandbox) {
    sandbox.must(
        "for i in {1..200}; do systemctl start ron-ledger && ron-ledgerctl safe-mode clear; \
         ron-ledgerctl status && exit; sleep 0.1; done >up 2>&1; exit 1",
    );
}

/// TLS on the API, and an authority that has signed for an operator.
pub fn with_tls(sandbox: &mut Sandbox) {
    let cwd = sandbox.cwd();
    let certificates = Certificates::make(&cwd);
    certificates.issue_to("ops", SanType::DnsName("ops.example".try_into().unwrap()));
    sandbox.must("mkdir -p /etc/ron/tls && cp ca.pem /etc/ron/tls/operators.crt");
    sandbox
        .must("cp server.pem /etc/ron/tls/ledger.crt && cp -p server.key /etc/ron/tls/ledger.key");
    sandbox.must("cp /etc/ron/ledger.toml plain.toml && systemctl stop ron-ledger");
    let url = sandbox.place("https://127.0.0.1:5082");
    sandbox.set_env("RON_LEDGER_URL", url);
    // Of the authority of this test, which no machine knows.
    sandbox.set_env("CA", "ca.pem".to_owned());
    let tls =
        "[tls]\ncert_file = \"/etc/ron/tls/ledger.crt\"\nkey_file = \"/etc/ron/tls/ledger.key\"\n";
    let config = sandbox.read(CONFIG);
    sandbox.write(CONFIG, &format!("{config}\n{}", sandbox.place(tls)));
    sandbox.must("systemctl start ron-ledger");
}

/// The block of the page is part of the configuration.
pub fn with_admin_plane(sandbox: &mut Sandbox) {
    let page = crate::house::read("RUNBOOK.md");
    let block = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = sandbox.read(CONFIG);
    sandbox.write(CONFIG, &format!("{config}\n{}", sandbox.place(block)));
    sandbox.must("systemctl restart ron-ledger");
}

pub fn without_tls(sandbox: &mut Sandbox) {
    sandbox.must("cp plain.toml /etc/ron/ledger.toml");
    let url = sandbox.place("http://127.0.0.1:5082");
    sandbox.set_env("RON_LEDGER_URL", url);
    restarted(sandbox);
}

pub fn with_rules(sandbox: &mut Sandbox) {
    sandbox.must("cp configs/policy.example.toml /etc/ron/policy.toml");
    configure_more(sandbox, "[policy]\nfile = \"/etc/ron/policy.toml\"\n");
    sandbox.must("ron-ledgerctl limits set --plain 0");
}

pub fn without_rules(sandbox: &mut Sandbox) {
    sandbox.must("ron-ledgerctl ingress unlock");
    sandbox.must("cp plain.toml /etc/ron/ledger.toml");
    restarted(sandbox);
}

/// The old copy that the page speaks of.
pub fn old_copy(sandbox: &mut Sandbox) {
    stopped(sandbox);
    sandbox.must("cp -a /var/lib/ron-ledger /var/backups/ron-ledger-1760000000");
    started(sandbox);
}

/// What a restore leaves: here a copy of what there is.
pub fn restored(sandbox: &mut Sandbox) {
    sandbox.must("cp -a /var/lib/ron-ledger /var/lib/ron-ledger-new");
}

/// A new name, and no keys for it yet.
pub fn another_name(sandbox: &mut Sandbox) {
    let config = sandbox.read(CONFIG);
    let own = config
        .replace("origin = \"ledger.example/1\"", "origin = \"ledger.example/2\"")
        .replace("/signing\"", "/signing-2\"");
    sandbox.write(CONFIG, &own);
}

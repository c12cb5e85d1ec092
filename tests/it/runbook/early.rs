//! The manifest: from the installation to the breakers.

use super::hooks;
use super::step::{Chapter, Step, cannot, ends, serves};

pub fn chapters() -> Vec<Chapter> {
    vec![
        ("Install", install()),
        ("First start", first_start()),
        ("Configuration", configuration()),
        ("Stop", stop()),
        ("Metrics to watch", metrics()),
        ("Safe-mode", safe_mode()),
        ("A gap", gap()),
        ("Breakers", breakers()),
    ]
}

fn install() -> Vec<Step> {
    vec![
        cannot("make build", "the build that is tested is there already"),
        ends(
            "install -m 755 target/release/ron-ledgerd target/release/ron-ledgerctl /usr/bin/",
            "",
        )
        .leaves("/usr/bin/ron-ledgerctl", "exec"),
        ends(
            "useradd --system --user-group --home-dir /var/lib/ron-ledger --shell /usr/sbin/nologin ron-ledger",
            "ron-ledger",
        ),
        ends("install -d -m 755 /etc/ron", ""),
        ends(
            "install -d -m 700 -o ron-ledger -g ron-ledger /etc/ron/keyring /etc/ron/signing /var/lib/ron-ledger",
            "",
        ),
        ends("install -m 644 configs/macronode.toml /etc/ron/ledger.toml", "")
            .leaves("/etc/ron/ledger.toml", "origin"),
        ends("install -m 644 systemd/ron-ledger.service /etc/systemd/system/", "")
            .leaves("/etc/systemd/system/ron-ledger.service", "ExecStart="),
    ]
}

fn first_start() -> Vec<Step> {
    vec![
        ends("ron-ledgerctl config check --file /etc/ron/ledger.toml", "ok")
            .before(hooks::configured),
        ends(
            "runuser -u ron-ledger -- ron-ledgerctl init --config /etc/ron/ledger.toml",
            "ledger.example/1+",
        ),
        ends("systemctl daemon-reload", ""),
        ends("systemctl enable --now ron-ledger", "").logs("ready=1"),
        ends("ron-ledgerctl status", " ready              true").comes(),
        ends("curl -s http://127.0.0.1:9909/readyz", "\"ready\":true").comes(),
        ends("ron-ledgerctl init --dev", "localhost/ron-ledger-dev+").before(hooks::stopped),
        serves("ron-ledgerd --config configs/ledger.dev.toml", "ready=1"),
    ]
}

fn configuration() -> Vec<Step> {
    vec![
        ends("ron-ledgerctl config print --file /etc/ron/ledger.toml", "file /"),
        ends("ron-ledgerctl config check --file /etc/ron/ledger.toml", "ok"),
        ends("ron-ledgerctl config diff --file /etc/ron/ledger.toml", "at a restart"),
        ends(
            "ron-ledgerctl config diff --file /etc/ron/ledger.toml --to ledger.new.toml",
            "at SIGHUP",
        )
        .before(|sandbox| {
            let config = sandbox.read("/etc/ron/ledger.toml");
            sandbox.write("ledger.new.toml", &format!("{config}\n[rates]\nplain = 7\n"));
        }),
    ]
}

fn stop() -> Vec<Step> {
    vec![
        ends("systemctl stop ron-ledger", "").before(hooks::started).logs("drained"),
        ends("systemctl reset-failed ron-ledger", ""),
        ends("systemctl start ron-ledger", "").logs("ready=1"),
    ]
}

fn metrics() -> Vec<Step> {
    vec![
        ends(
            "curl -s http://127.0.0.1:9909/metrics | grep -E 'ledger_safe_mode|queue_depth|rejected_total'",
            "ledger_safe_mode 0",
        ),
        serves("journalctl -u ron-ledger -f", "ready=1").code(130),
        ends("ron-ledgerctl log level info,ron_ledger::actors=debug", "ron_ledger::actors=debug"),
        ends("ron-ledgerctl log show", "ron_ledger::actors=debug"),
        ends("ron-ledgerctl traces ratio 0.1", "10 %"),
        ends("ron-ledgerctl traces show", "10 %"),
    ]
}

fn safe_mode() -> Vec<Step> {
    vec![
        ends("ron-ledgerctl safe-mode status", "operator")
            .before(|sandbox| _ = sandbox.must("ron-ledgerctl safe-mode enter")),
        ends("ron-ledgerctl safe-mode clear", "ready"),
        ends("curl -s http://127.0.0.1:9909/readyz", "\"ready\":true").comes(),
        ends("systemctl restart ron-ledger", "").logs("ready=1"),
        ends("ron-ledgerctl status", " ready              true").comes(),
        ends("ron-ledgerctl checkpoint --verifier-key ledger.vkey", "ledger.example/1")
            .before(|sandbox| {
                hooks::vkey(sandbox);
                hooks::entries(sandbox);
            })
            .durable()
            .comes(),
    ]
}

fn gap() -> Vec<Step> {
    vec![
        ends("ron-ledgerctl checkpoint > checkpoint.note", "")
            .before(|sandbox| {
                hooks::entries(sandbox);
                hooks::auditor(sandbox);
            })
            .leaves("checkpoint.note", "ledger.example/1"),
        ends(
            "ron-ledgerctl audit export --range 1:4710 --out before.jsonl --token-file auditor.token",
            "4710",
        )
        .leaves("before.jsonl", "\"seq\":4710"),
        ends("systemctl stop ron-ledger", "").logs("drained"),
        ends("mv /var/lib/ron-ledger /var/backups/ron-ledger-with-a-gap", ""),
        ends("ron-ledgerctl safe-mode clear --i-have-verified", "ready").before(hooks::put_back),
        ends("ron-ledgerctl freeze", "frozen"),
        ends("ron-ledgerctl unfreeze", "ready"),
        ends("ron-ledgerctl maintenance on", "maintenance"),
        ends("ron-ledgerctl maintenance off", "ready"),
        ends("ron-ledgerctl safe-mode enter", "operator"),
        ends("ron-ledgerctl drain", "draining").logs("drained"),
    ]
}

fn breakers() -> Vec<Step> {
    vec![
        ends("ron-ledgerctl breakers", " kms     local  closed").before(hooks::unbarred),
        ends(
            "curl -s http://127.0.0.1:9909/metrics | grep -E '^(breaker_|upstream_calls)'",
            "breaker_open_total{target=\"kms\"} 0",
        ),
    ]
}

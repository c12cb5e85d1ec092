//! The manifest: from the certificates to the drills.

use super::hooks;
use super::step::{Chapter, Step, cannot, ends, held_by, serves};

pub fn chapters() -> Vec<Chapter> {
    vec![
        ("Certificates", certificates()),
        ("Admin plane", admin_plane()),
        ("Ingress lock", ingress_lock()),
        ("Policy", policy()),
        ("Floods", floods()),
        ("Keys and capabilities", keys()),
        ("Proofs for auditors", proofs()),
        ("Witnesses", witnesses()),
        ("Backup and restore", taken_along()),
        ("Snapshots", snapshots()),
        ("The archive", archive()),
        ("Restore", restore()),
        ("Upgrade", upgrade()),
        ("A second node", second_node()),
        ("Audit", audit()),
        ("Drills", drills()),
    ]
}

fn certificates() -> Vec<Step> {
    vec![
        ends("curl -s http://127.0.0.1:9909/metrics | grep '^tls_'", "tls_cert_expiry_seconds")
            .before(hooks::with_tls),
        ends("openssl s_client -connect 127.0.0.1:5082 -tls1_3 -brief </dev/null", "TLSv1.3"),
    ]
}

fn admin_plane() -> Vec<Step> {
    vec![
        held_by(
            "[admin]\naddr = \"10.0.0.5:5443\"\nca_file = \"/etc/ron/tls/operators.crt\"\n\
             roles = \"dns:ops.example=operator,uri:spiffe://example/audit=auditor,cn:drills=chaos\"",
            "runbook::each_command_of_the_runbook_does_what_it_says",
        ),
        ends(
            "ron-ledgerctl cap mint --config /etc/ron/ledger.toml --action admin --plane admin --peer mtls \
             --expires 12h --id ops-1 --out ops-1.token",
            "ops-1.token",
        )
        .before(hooks::with_admin_plane),
        ends(
            "curl -s --cacert ca.pem --cert ops.pem --key ops.key https://10.0.0.5:5443/admin/mode",
            "\"mode\":\"ready\"",
        )
        .comes(),
        ends(
            "curl -s --cacert ca.pem --cert ops.pem --key ops.key https://10.0.0.5:5443/admin/orders \
             -H \"Authorization: Bearer $(cat ops-1.token)\" -d '{\"order\":\"freeze\"}'",
            "\"mode\":\"frozen\"",
        )
        .logs("admin call"),
    ]
}

fn ingress_lock() -> Vec<Step> {
    vec![
        ends("ron-ledgerctl ingress lock --to uds", "ingress locked").before(|sandbox| {
            sandbox.must("ron-ledgerctl unfreeze");
            hooks::without_tls(sandbox);
        }),
        ends("ron-ledgerctl ingress unlock", "ready"),
    ]
}

fn policy() -> Vec<Step> {
    vec![
        ends("ron-ledgerctl policy check /etc/ron/policy.toml", "ok").before(hooks::with_rules),
        ends(
            "ron-ledgerctl policy explain --entry entry.json --policy /etc/ron/policy.toml",
            "no-other-mint",
        ),
        ends("systemctl reload ron-ledger", "").logs("reloaded the policy"),
    ]
}

fn floods() -> Vec<Step> {
    vec![
        ends("ron-ledgerctl limits set --plain 10 --capability 50", "10"),
        ends("ron-ledgerctl deny add --peer 203.0.113.0/24", "203.0.113.0/24"),
        ends("ron-ledgerctl deny add --path /entries/by-id/", "/entries/by-id/"),
        ends("ron-ledgerctl deny list", "203.0.113.0/24"),
        ends("ron-ledgerctl ingress lock --to uds", "ingress locked"),
    ]
}

fn keys() -> Vec<Step> {
    vec![
        ends("umask 077", "").before(hooks::without_rules),
        ends(
            "runuser -u ron-ledger -- ron-ledgerctl cap mint --config /etc/ron/ledger.toml --id shop-1 \
             --action transfer,read --account-prefix acct:shop/ --expires 7d > shop.token",
            "",
        )
        .owners("shop.token"),
        ends(
            "ron-ledgerctl cap attenuate --token-file shop.token --amount-max 1000 --expires 10m --out narrow.token",
            "narrow.token",
        ),
        ends("ron-ledgerctl cap inspect --token-file narrow.token", "shop-1"),
        ends("runuser -u ron-ledger -- ron-ledgerctl cap rotate --config /etc/ron/ledger.toml", "root-2"),
        ends("systemctl reload ron-ledger", "").logs("reloaded the root keys"),
        ends("ron-ledgerctl cap list", "root-2"),
        ends("ron-ledgerctl cap revoke --id shop-1", "shop-1"),
        ends("ron-ledgerctl cap revoke --kid root-1", "root-1"),
        ends("ron-ledgerctl limits get", "no limit"),
        ends("ron-ledgerctl limits set --capability 50 --plain 200", "200"),
        ends(
            "runuser -u ron-ledger -- ron-ledgerctl key show --config /etc/ron/ledger.toml > ledger.vkey",
            "",
        )
        .durable()
        .leaves("ledger.vkey", "ledger.example/1+"),
        ends("ron-ledgerctl checkpoint --verifier-key ledger.vkey", "ledger.example/1").durable(),
        ends(
            "runuser -u ron-ledger -- ron-ledgerctl key rotate --config /etc/ron/ledger.toml",
            "ledger.example/1+",
        ),
        ends("systemctl restart ron-ledger", "").logs("ready=1"),
        ends(
            "runuser -u ron-ledger -- ron-ledgerctl key list --config /etc/ron/ledger.toml",
            "ledger.example/1+",
        ),
        ends(
            "runuser -u ron-ledger -- ron-ledgerctl key retire --config /etc/ron/ledger.toml",
            "retired",
        ),
        ends("systemctl restart ron-ledger", "").logs("ready=1"),
    ]
}

fn proofs() -> Vec<Step> {
    vec![
        ends(
            "ron-ledgerctl receipt --id 9f0c6a52-6f0f-4d0b-9a55-0d9f8c1b7e21 --out entry.tlog-proof --token-file auditor.token",
            "wrote entry.tlog-proof",
        )
        .before(hooks::audited),
        ends("ron-ledgerctl receipt verify --in entry.tlog-proof --vkey ledger.vkey", "9f0c6a52"),
        ends("ron-ledgerctl checkpoint > checkpoint.note", "")
            .leaves("checkpoint.note", "ledger.example/1"),
        ends("ron-ledgerctl proof consistency --since checkpoint.note --vkey ledger.vkey", "the ledger has only grown"),
        ends(
            "python3 tests/interop/verify_log.py http://127.0.0.1:5082 \"$(cat ledger.vkey)\"",
            "verified: ",
        ),
    ]
}

fn witnesses() -> Vec<Step> {
    vec![
        ends(
            "ron-ledgerctl witness init --dir /var/lib/ron-witness --name witness.example/a",
            "witness.example/a+",
        ),
        serves(
            "ron-ledgerctl witness serve --dir /var/lib/ron-witness --listen 127.0.0.1:5090 --log ledger.vkey",
            "witness on http://",
        ),
        held_by(
            "witness a witness.example/a+1b2c3d4e+B... https://witness.example\nquorum a",
            "whole::command_line::a_receipt_carries_the_word_of_witnesses",
        ),
        held_by(
            "ron-ledgerctl receipt --witnessed --id 9f0c6a52-6f0f-4d0b-9a55-0d9f8c1b7e21 --out entry.tlog-proof --token-file auditor.token",
            "whole::command_line::a_receipt_carries_the_word_of_witnesses",
        ),
        held_by(
            "ron-ledgerctl receipt verify --in entry.tlog-proof --vkey ledger.vkey --policy witness.policy",
            "whole::command_line::a_receipt_carries_the_word_of_witnesses",
        ),
    ]
}

const IMPORT: &str = "whole::import::what_was_exported_goes_on_in_another_micronode";
const COPIES: &str = "whole::backup::a_snapshot_and_the_archive_after_it_are_the_ledger_again";
const DAMAGED: &str =
    "whole::backup::a_snapshot_that_is_damaged_or_anothers_is_refused_and_says_where";
const STORE: &str = "whole::s3::an_archive_in_an_object_store_grows_over_restarts_and_comes_back";
const TIMERS: &str = "timers of systemd have no stand-in; house::units reads the units";

fn taken_along() -> Vec<Step> {
    vec![
        held_by(
            "curl -s http://127.0.0.1:5082/version | jq -r .verifier_key > micronode.vkey",
            IMPORT,
        ),
        held_by(
            "ron-ledgerctl audit export --range 0:latest --out micronode.jsonl --token-file auditor.token",
            IMPORT,
        ),
        held_by(
            "ron-ledgerd --config configs/micronode.toml --import micronode.jsonl --import-key micronode.vkey",
            IMPORT,
        ),
    ]
}

fn snapshots() -> Vec<Step> {
    vec![
        ends("ron-ledgerctl key show --config /etc/ron/ledger.toml > ledger.vkey", "")
            .durable()
            .leaves("ledger.vkey", "ledger.example/1+"),
        held_by(
            "ron-ledgerctl snapshot create --out /var/backups/ron-ledger --keep 14 --vkey ledger.vkey",
            DAMAGED,
        ),
        held_by(
            "ron-ledgerctl snapshot list --dir /var/backups/ron-ledger --vkey ledger.vkey",
            DAMAGED,
        ),
        held_by(
            "ron-ledgerctl snapshot verify --in /var/backups/ron-ledger/monday.tar.zst --vkey ledger.vkey",
            DAMAGED,
        ),
        held_by("ron-ledgerctl snapshot prune --dir /var/backups/ron-ledger --keep 14", DAMAGED),
        cannot("systemctl enable --now ron-ledger-snapshot.timer", TIMERS),
    ]
}

fn archive() -> Vec<Step> {
    vec![
        held_by("ron-ledgerctl archive status --url s3://backups/ledger --vkey ledger.vkey", STORE),
        held_by("ron-ledgerctl archive verify --url s3://backups/ledger --vkey ledger.vkey", STORE),
        cannot("systemctl enable --now ron-ledger-archive-verify.timer", TIMERS),
    ]
}

fn restore() -> Vec<Step> {
    vec![
        held_by(
            "ron-ledgerctl snapshot restore --in monday.tar.zst --archive s3://backups/ledger --vkey ledger.vkey \
             --data-dir /var/lib/ron-ledger-new",
            COPIES,
        ),
        ends("systemctl stop ron-ledger", "").logs("drained"),
        ends("mv /var/lib/ron-ledger /var/lib/ron-ledger-old", "").before(hooks::restored),
        ends("mv /var/lib/ron-ledger-new /var/lib/ron-ledger", ""),
        ends("chown -R ron-ledger:ron-ledger /var/lib/ron-ledger", ""),
        ends("systemctl start ron-ledger", "").logs("ready=1"),
        held_by(
            "ron-ledgerctl snapshot restore --archive s3://backups/ledger --to-time 2026-01-31T23:59:59Z \
             --vkey ledger.vkey --data-dir /var/lib/ron-ledger-new",
            COPIES,
        ),
        held_by(
            "ron-ledgerctl snapshot restore --archive s3://backups/ledger --to-seq 100000 \
             --vkey ledger.vkey --data-dir /var/lib/ron-ledger-new",
            STORE,
        ),
        serves(
            "runuser -u ron-ledger -- ron-ledgerd --config /etc/ron/ledger.toml --at-least checkpoint.note",
            "ready=1",
        )
        .before(hooks::stopped)
        .durable(),
        ends("ron-ledgerctl checkpoint > checkpoint.note", "")
            .before(hooks::started)
            .leaves("checkpoint.note", "ledger.example/1"),
        ends("runuser -u ron-ledger -- ron-ledgerctl init --config /etc/ron/ledger.toml", "ledger.example/2+")
            .before(|sandbox| {
                hooks::stopped(sandbox);
                sandbox.must("cp -a /var/lib/ron-ledger before-2 && cp /etc/ron/ledger.toml before-2.toml");
                hooks::another_name(sandbox);
            }),
        // Ends by itself.
        ends(
            "runuser -u ron-ledger -- ron-ledgerd --config /etc/ron/ledger.toml --new-origin",
            "parent",
        )
        .durable(),
        ends("systemctl start ron-ledger", "").logs("ready=1"),
    ]
}

fn upgrade() -> Vec<Step> {
    vec![
        ends("runuser -u ron-ledger -- ron-ledgerd --config /etc/ron/ledger.toml --upgrade", "")
            .before(|sandbox| {
                hooks::stopped(sandbox);
                sandbox.must(
                    "rm -r /var/lib/ron-ledger && mv before-2 /var/lib/ron-ledger && \
                     cp before-2.toml /etc/ron/ledger.toml",
                );
            })
            .durable(),
    ]
}

fn second_node() -> Vec<Step> {
    vec![held_by(
        "ron-ledgerd --config /etc/ron/ledger.toml --follow s3://backups/ledger --follow-key ledger.vkey",
        "whole::follow::a_follower_serves_the_same_over_its_own_kill_and_becomes_the_writer",
    )]
}

fn audit() -> Vec<Step> {
    vec![
        ends(
            "ron-ledgerctl audit export --range 0:latest --out ledger.jsonl --token-file auditor.token",
            " entries              1 to ",
        )
        .before(hooks::audited),
        ends("ron-ledgerctl audit verify --in ledger.jsonl --vkey ledger.vkey", "without a finding"),
        ends(
            "ron-ledgerctl audit verify --data-dir /var/backups/ron-ledger-1760000000 --vkey ledger.vkey",
            "without a finding",
        )
        .before(hooks::old_copy)
        .durable(),
        ends("ron-ledgerctl audit compare ledger.jsonl http://10.0.0.8:5082", " the same "),
    ]
}

fn drills() -> Vec<Step> {
    vec![
        held_by(
            "ron-ledgerctl chaos kill --target committer --signal SIGKILL --token-file drill.token",
            "whole::drills::a_kill_at_each_targets_point_loses_nothing",
        ),
        held_by(
            "ron-ledgerctl chaos kill --target committer --signal PANIC --token-file drill.token",
            "whole::drills::an_actor_that_panics_is_up_again_and_nothing_is_lost",
        ),
        held_by(
            "ron-ledgerctl chaos disk-fill --percent 95 --duration 5m --token-file drill.token",
            "faults::ballast::a_filled_disk_is_told_and_freed_whoever_is_killed",
        ),
        held_by(
            "ron-ledgerctl chaos slowloris --conns 500 --duration 10m --token-file drill.token",
            "whole::drills::slow_connections_are_cut_and_others_do_not_notice",
        ),
        held_by(
            "ron-ledgerctl chaos fsync-fail --token-file drill.token",
            "whole::drills::an_fsync_that_fails_bars_writes_until_the_process_is_another",
        ),
    ]
}

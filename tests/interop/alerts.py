"""Brings each alert of ops/prometheus/alerts.yml to firing by a fault, and sees it end with the fault.

    make alerts                                    all of them, some minutes
    python3 tests/interop/alerts.py --quick        four that tell whether the wires hold, for everyday checks
    python3 tests/interop/alerts.py LedgerDown     those that are named

Each fault has a real ledgerd of its own (PROGRAMS: the directory of the programs); all are scraped by one real
Prometheus that loads the shipped rules with shortened windows. Faults that nothing honest brings about are told
by a listener that only serves the metric; the verdict says which. Exit code 0 when all fired and ended.
"""

import argparse
import concurrent.futures
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from stage import PROGRAMS, ROOT, Fake, Node, Prometheus, free_port, wait  # noqa: E402

# A machine that has much else to do is slow.
PATIENCE = 90
QUICK = ["LedgerDown", "LedgerSafeMode", "LedgerIngressLocked", "LedgerActorRestarted"]
DRILLS = []


def drill(*alerts, profile="micronode", settings=None, prepare=None):
    """A fault, up to its `yield`, and what ends it, after it."""
    def add(fault):
        DRILLS.append((alerts, fault, profile, settings or {}, prepare))
        return fault
    return add


def entry(**fields):
    return {"batch": [{"id": str(secrets.token_hex(16)), "ts": int(time.time() * 1000), "kind": "Mint", "account": "a",
                       "amount": "1", "nonce": "AAECAwQFBgcICQoLDA0ODw==", "capability_ref": "dev", "v": 1, **fields}]}


@drill("LedgerDown")
def killed(node):
    node.signal(signal.SIGKILL)
    node.process.wait()
    yield "kill -9"
    node.start()


@drill("LedgerSafeMode")
def doubted(node):
    node.ctl("safe-mode", "enter")
    yield "safe-mode enter"
    node.ctl("safe-mode", "clear")


@drill("LedgerFsyncFailed")
def unsynced(node):
    node.drill({"drill": "fsync_fail"})
    node.load(20)
    yield "chaos: an fsync is reported as failed"
    node.calm()
    node.ctl("safe-mode", "clear", check=False)


@drill("LedgerActorRestarted")
def panicked(node):
    node.drill({"drill": "kill", "target": "prevalidator", "signal": "PANIC"})
    node.load(20)
    yield "chaos: a prevalidator panics"
    node.calm()


def slow_disk(node):
    """Every fsync takes 0.4 s longer, as long as the tracer is there."""
    inject = "inject=fdatasync,fsync:delay_enter=400000"
    return subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", inject,
                             "-p", str(node.process.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def end_slow_disk(tracer):
    tracer.terminate()
    tracer.wait(30)


@drill("LedgerCommitP99", "LedgerCommitP95", profile="macronode")
def slowed(node):
    tracer = slow_disk(node)
    node.load(20)
    yield "each fsync takes 0.4 s longer"
    end_slow_disk(tracer)
    node.calm()


@drill("LedgerCommitQueueFull", profile="macronode", settings={"queues.commit": "4", "commit.batch_max_entries": "1"})
def queued(node):
    tracer = slow_disk(node)
    node.load(60, 32)
    yield "each fsync takes 0.4 s longer, and the queue is short"
    end_slow_disk(tracer)
    node.calm()


@drill("LedgerPushesBack", "LedgerBusyShare", settings={"limits.requests_per_second": "5"})
def pushed(node):
    node.load(300, 32)
    yield "300 requests a second, 5 are taken"
    node.calm()
    # A share is one of something: without requests there is none.
    node.load(2, 1)


@drill("LedgerFlood")
def flooded(node):
    node.again(lambda: node.get("/" + secrets.token_urlsafe(48)), 0.05)
    yield "20 random paths a second"
    node.calm()


@drill("LedgerUnknownKind")
def drifted(node):
    node.again(lambda: node.post(entry(color="red")), 0.5)
    yield "entries with a field that is none"
    node.calm()


@drill("LedgerAuthFailures")
def guessed(node):
    node.again(lambda: node.post(entry(), token=False), 0.05)
    yield "entries without a token"
    node.calm()


@drill("LedgerReloadRefused")
def misspelt(node):
    node.write_config("[rates]\nplian = 5\n")
    node.signal(signal.SIGHUP)
    yield "SIGHUP with a setting that is none"
    node.write_config()
    node.signal(signal.SIGHUP)


@drill("LedgerIngressLocked")
def locked(node):
    node.ctl("ingress", "lock", "--to", "uds")
    yield "ingress lock"
    node.ctl("ingress", "unlock")


def age_keys(node):
    for key in (node.dir / "keyring").iterdir():
        os.utime(key, (time.time() - 80 * 86400,) * 2)


@drill("LedgerKeyExpiring", prepare=age_keys)
def aged(node):
    yield "a root key of 80 days"
    node.stop()
    for key in (node.dir / "keyring").iterdir():
        os.utime(key)
    node.start()


@drill("LedgerVerifierStale", settings={"verifier.interval": "25s"})
def stale(node):
    node.load(20)
    yield "25 s between two passes, where 6 s are too long"
    # The next pass ends it.
    node.calm()


@drill("LedgerBreakerOpen",
       settings={"upstream.policy.mode": "remote", "upstream.policy.url": f"http://127.0.0.1:{free_port()}"})
def abandoned(node):
    node.load(20)
    yield "nobody is at the policy guard's address"
    node.stop()
    node.settings["upstream.policy.mode"] = "local"
    node.start()


def with_guard(node):
    """A policy guard beside it, which takes orders."""
    upstream = ROOT / "tests/interop/upstream.py"
    node.beside = subprocess.Popen([sys.executable, upstream, "--keyring", node.dir / "keyring"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
    port = node.beside.stdout.readline().strip()
    node.settings |= {"upstream.policy.mode": "remote", "upstream.policy.url": f"http://127.0.0.1:{port}/policy",
                      "upstream.breaker_failures": "1", "upstream.breaker_open": "1s"}


@drill("LedgerBreakerFlaps", prepare=with_guard)
def flapping(node):
    def toggle():
        for mood in ("status 503", "ok"):
            node.beside.stdin.write(mood + "\n")
            node.beside.stdin.flush()
            node.beside.stdout.readline()
            time.sleep(1.5)
    node.load(20)
    node.again(toggle, 0.1)
    yield "the policy guard fails every three seconds"
    node.calm()


def with_archive(node):
    (node.dir / "archive").mkdir()
    node.settings |= {"archive.url": f"file://{node.dir}/archive", "archive.interval": "1s"}


@drill("LedgerArchiveLags", "LedgerArchiveFails", profile="macronode", prepare=with_archive)
def unarchived(node):
    (node.dir / "archive").rename(node.dir / "away")
    (node.dir / "archive").write_text("")
    node.load(20)
    yield "a file is in the place of the archive"
    (node.dir / "archive").unlink()
    (node.dir / "away").rename(node.dir / "archive")


@drill("LedgerSnapshotStale", profile="macronode")
def unsnapped(node):
    snapshot = ("snapshot", "create", "--out", node.dir)
    node.post(entry())
    node.ctl(*snapshot)
    yield "a snapshot, and then none for too long"
    node.ctl(*snapshot)


@drill("LedgerTracesLost", settings={"telemetry.otlp_endpoint": f"http://127.0.0.1:{free_port()}", "telemetry.sample_ratio": "1"})
def untraced(node):
    node.load(20)
    yield "nobody is at the collector's address"
    node.calm()


def certify(node, name, days, subject="/CN=nobody"):
    """A certificate of the node's own authority, for so many days."""
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=node.dir)
    if not (node.dir / "ca.pem").exists():
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
                "-out", "ca.pem", "-days", "30", "-subj", "/CN=authority")
    (node.dir / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key.new",
            "-out", f"{name}.csr", "-subj", subject)
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
            f"{name}.pem.new", "-days", str(days), "-extfile", "ext")
    os.chmod(node.dir / f"{name}.key.new", 0o600)
    for end in ("key", "pem"):
        os.replace(node.dir / f"{name}.{end}.new", node.dir / f"{name}.{end}")


def with_tls(days, admin=False):
    def prepare(node):
        certify(node, "server", days)
        node.settings |= {"tls.cert_file": f"{node.dir}/server.pem", "tls.key_file": f"{node.dir}/server.key"}
        if admin:
            certify(node, "client", 30)
            node.admin = free_port()
            node.settings |= {"admin.addr": f"127.0.0.1:{node.admin}", "admin.ca_file": f"{node.dir}/ca.pem",
                              "admin.roles": "cn:somebody=operator"}
    return prepare


@drill("LedgerTlsHandshakes", prepare=with_tls(30))
def scanned(node):
    node.again(lambda: node.get("/healthz"), 0.1)
    yield "plain HTTP to a port of TLS"
    node.calm()


@drill("LedgerCertificateRefused", prepare=with_tls(30))
def mismatched(node):
    (node.dir / "server.pem").write_text("none\n")
    node.signal(signal.SIGHUP)
    yield "a certificate that is none, and SIGHUP"
    certify(node, "server", 30)
    node.signal(signal.SIGHUP)


@drill("LedgerCertificateExpiring", "LedgerCertificateExpires", prepare=with_tls(1))
def expiring(node):
    yield "a certificate for one day"
    certify(node, "server", 30)
    node.signal(signal.SIGHUP)


@drill("LedgerAdminDenied", prepare=with_tls(30, admin=True))
def presumed(node):
    def ask():
        subprocess.run(["curl", "-s", "--cacert", "ca.pem", "--cert", "client.pem", "--key", "client.key", "-m", "5",
                        f"https://127.0.0.1:{node.admin}/admin/mode"], cwd=node.dir, capture_output=True)
    node.again(ask, 0.5)
    yield "an order with a certificate that has no role"
    node.calm()


@drill("LedgerPublicationLags", profile="macronode")
def unpublished(node):
    signed = node.dir / "data/signed"
    signed.rename(node.dir / "signed-away")
    node.load(20)
    yield "the directory of signed checkpoints is away"
    (node.dir / "signed-away").rename(signed)
    node.calm()


def small_disk(node):
    (node.dir / "data").mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g,mode=700", "tmpfs", node.dir / "data"], check=True)
    node.mounted = node.dir / "data"


@drill("LedgerDiskFull", profile="macronode", prepare=small_disk)
def filled(node):
    node.drill({"drill": "disk_fill", "percent": 90, "seconds": 600})
    yield "chaos: a small disk is filled to 90 %"
    node.drill({"drill": "disk_free"})


def with_witness(node):
    node.witness_port, witness = free_port(), node.dir / "witness"
    made = node.ctl("witness", "init", "--dir", witness, "--name", "witness.example/a")
    key = next(word for word in made.split() if word.startswith("witness.example/a+"))
    (node.dir / "policy").write_text(f"witness a {key} http://127.0.0.1:{node.witness_port}\nquorum a\n")
    (node.dir / "vkey").write_text(node.ctl("key", "show", "--config", node.config))
    node.settings |= {"witness.policy_file": f"{node.dir}/policy"}
    start_witness(node)


def start_witness(node):
    node.beside = subprocess.Popen([PROGRAMS / "ron-ledgerctl", "witness", "serve", "--dir", node.dir / "witness", "--listen",
                                     f"127.0.0.1:{node.witness_port}", "--log", node.dir / "vkey"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def cosigned(node):
    text = node.get("/metrics", node.metrics)[1].decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("ledger_"))
    return 0 < int(values["ledger_published_size"]) == int(values["ledger_witnessed_size"])


@drill("LedgerWitnessesMissing", profile="macronode", prepare=with_witness)
def unwitnessed(node):
    node.post(entry())
    node.beside.kill()
    node.beside.wait()
    node.load(5)
    yield "the witness is away"
    node.calm()
    start_witness(node)


@drill("LedgerWitnessContradicts", profile="macronode", prepare=with_witness)
def rolled_back(node):
    node.load(20)
    assert wait(lambda: cosigned(node), 60), "the witness has not cosigned"
    node.stop()
    shutil.rmtree(node.dir / "data")
    (node.dir / "data").mkdir(mode=0o700)
    node.start()
    yield "an empty store in the place of the one that the witness has seen"


FAKED = {
    "LedgerSeqGap": "ledger_seq_gap_detected_total",
    "LedgerNotAsPublished": 'verifier_findings_total{kind="differs"}',
    "LedgerTaskLeaked": "tasks_leaked_total",
    "LedgerFollowStopped": "ledger_follow_stopped",
    "LedgerFollowLags": "ledger_follow_lag_seconds",
}


def faked(fake, prometheus, alert):
    """The metric rises once; what it tells of would be an error of the ledger itself, or needs a second node."""
    series = FAKED[alert]
    fake.values[series] = 0

    def is_scraped():
        found = prometheus.api("query", query=series)["result"]
        return any(one["metric"]["instance"] == fake.instance for one in found)
    assert wait(is_scraped, PATIENCE)
    fake.values[series] = 3600 if series.endswith("_seconds") else 1
    return watch(prometheus, [alert], fake.instance, "not a ledger: a listener that serves the metric",
                 lambda: fake.values.update({series: 0}))


def watch(prometheus, alerts, instance, fault, end):
    """Waits until these fire for this instance, ends the fault, and waits until none does."""
    began, silent = time.monotonic(), set(alerts)

    def seen():
        silent.difference_update(alert for alert, where in prometheus.firing() if where == instance)
        return not silent
    wait(seen, PATIENCE)
    took = time.monotonic() - began
    end()
    is_over = wait(lambda: not {(alert, instance) for alert in alerts} & prometheus.firing(), PATIENCE)
    wrong = [f"{alert} did not fire" for alert in sorted(silent)] + ["did not end"] * (not is_over)
    return [(alert, alert not in silent and is_over, fault, took, wrong) for alert in alerts]


def play(prometheus, node, alerts, fault):
    try:
        act = fault(node)
        told = next(act)
        return watch(prometheus, alerts, node.instance, told, lambda: next(act, None))
    except Exception as error:  # A verdict like any other.
        return [(alert, False, fault.__name__, 0, [f"{type(error).__name__}: {error}"]) for alert in alerts]
    finally:
        end(node)


def end(node):
    """What a drill has started beside its node, and the node."""
    try:
        node.stop()
    finally:
        if hasattr(node, "beside"):
            node.beside.kill()
            node.beside.wait()
        if hasattr(node, "mounted"):
            subprocess.run(["umount", "--lazy", node.mounted], check=False)


def launch(stage, alerts, fault, profile, settings, prepare):
    node = Node(stage, fault.__name__, profile, settings)
    try:
        if prepare:
            prepare(node)
        node.start()
    except Exception:
        end(node)
        raise
    return node


def run(stage, wanted, workers):
    """Rounds of some nodes at a time: a machine of two cores has no room for all."""
    drills = [it for it in DRILLS if set(it[0]) & wanted]
    results, exemplars = [], 0
    for at in range(0, len(drills), workers):
        nodes, rounds = {}, drills[at:at + workers]
        for it in rounds:
            try:
                nodes[it[1]] = launch(stage, *it)
            except Exception as error:
                results += [(alert, False, it[1].__name__, 0, [f"not begun: {error}"]) for alert in it[0]]
        fake, is_last = Fake(), at + workers >= len(drills)
        prometheus = Prometheus(pathlib.Path(tempfile.mkdtemp(dir=stage)), [it.instance for it in nodes.values()] + [fake.instance])
        try:
            with concurrent.futures.ThreadPoolExecutor(workers + len(FAKED)) as pool:
                acts = [pool.submit(play, prometheus, nodes[it[1]], it[0], it[1]) for it in rounds if it[1] in nodes]
                acts += [pool.submit(faked, fake, prometheus, alert) for alert in FAKED if is_last and alert in wanted]
                for act in acts:
                    for verdict in act.result():
                        show(verdict)
                        results.append(verdict)
            exemplars += prometheus.exemplars()
        finally:
            prometheus.stop()
            for node in nodes.values():
                end(node)
    return results, exemplars


def show(verdict):
    alert, passed, fault, seconds, wrong = verdict
    print(f"{'ok   ' if passed else 'WRONG'} {alert}: {fault}; " + (f"fired after {seconds:.0f} s, ended" if passed else "; ".join(wrong)), flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("alerts", nargs="*")
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--at-once", type=int, default=6, help="nodes at a time")
    given = arguments.parse_args()
    lines = (ROOT / "ops/prometheus/alerts.yml").read_text().splitlines()
    known = {line.split(": ")[1] for line in lines if "- alert: " in line}
    wanted = set(given.alerts or (QUICK if given.quick else known))
    covered = {alert for it in DRILLS for alert in it[0]} | set(FAKED)
    assert covered == known, f"alerts without a drill, or the other way: {covered ^ known}"
    with tempfile.TemporaryDirectory(prefix="alerts-") as stage:
        results, exemplars = run(pathlib.Path(stage), wanted, given.at_once)
    passed = {verdict[0] for verdict in results if verdict[1]}
    for verdict in results:
        if not verdict[1] and verdict[4] and "not begun" in verdict[4][0]:
            show(verdict)
    print(f"alerts: {len(passed & wanted)} of {len(wanted)} fired and ended; Prometheus has {exemplars} exemplars of commits")
    # The node of that fault traces every request.
    is_traced = exemplars > 0 or "LedgerTracesLost" not in wanted
    return 0 if wanted <= passed and is_traced else 1


sys.exit(main())

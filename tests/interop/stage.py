"""Nodes, a fake one, and a Prometheus over all of them: what `alerts.py` plays on."""

import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("PROGRAMS") or pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "release"))
# Windows, in seconds: a quarter of a minute has to be enough for what is hours in production.
WINDOWS = {"1m": 6, "2m": 4, "5m": 12, "10m": 15, "15m": 8, "1h": 20, "7d": 120}
LASTING = {"1m": 2, "2m": 2, "5m": 4, "10m": 6, "15m": 8, "1h": 4}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def shortened(rules):
    """The rules with shorter windows. What is compared with a rate or a share stays; limits in seconds do not."""
    rules = re.sub(r"\[(\w+)\]", lambda it: f"[{WINDOWS[it[1]]}s]", rules)
    rules = re.sub(r"( for: )(\w+)", lambda it: f"{it[1]}{LASTING[it[2]]}s", rules)
    for limit, short in [("_seconds > 86400", "_seconds > 6"), ("[120s]) > 129600", "[120s]) > 6"),
                         ("archive_lag_seconds > 90", "archive_lag_seconds > 3"),
                         ("breaker_open_seconds > 30", "breaker_open_seconds > 8")]:
        assert limit in rules, limit
        rules = rules.replace(limit, short)
    # Within six seconds as many as in a minute would be another fault.
    return rules.replace("tls_handshake_failures_total[6s]) > 20", "tls_handshake_failures_total[6s]) > 2")


def wait(what, seconds, pause=0.25):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(pause)
    return False


class Node:
    """A daemon in a directory of its own."""

    def __init__(self, stage, name, profile="micronode", settings=()):
        self.dir, self.name, self.profile = stage / name, name, profile
        self.dir.mkdir()
        self.api, self.metrics = free_port(), free_port()
        self.settings = dict(settings)
        self.process, self.helpers, self.over = None, [], threading.Event()
        self.config = self.dir / "node.toml"
        self.write_config()
        self.ctl("init", "--dev", "--config", self.config)

    def write_config(self, more=""):
        self.config.write_text(f"""
profile = "{self.profile}"
[node]
environment = "dev"
origin = "localhost/{self.name}"
data_dir = "{self.dir}/data"
[http]
api_addr = "127.0.0.1:{self.api}"
metrics_addr = "127.0.0.1:{self.metrics}"
[uds]
path = "{self.dir}/s"
[chaos]
enabled = true
[keys]
dev = true
[capabilities]
keyring_dir = "{self.dir}/keyring"
signing_dir = "{self.dir}/signing"
{more}""")

    @property
    def instance(self):
        return f"127.0.0.1:{self.metrics}"

    def start(self):
        more = [word for pair in self.settings.items() for word in ("--set", "=".join(pair))]
        with open(self.dir / "log", "a") as log:
            self.process = subprocess.Popen([PROGRAMS / "ron-ledgerd", "--config", self.config, *more], stderr=log)
        if not wait(lambda: self.answers() or self.process.poll() is not None, 60) or self.process.poll() is not None:
            raise RuntimeError(f"{self.name} does not start: {(self.dir / 'log').read_text()[-600:]}")

    def answers(self):
        try:
            return self.get("/healthz", self.metrics)[0] == 200
        except OSError:
            return False

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        self.over.set()
        for helper in self.helpers:
            helper.join(20)
        self.helpers, self.over = [], threading.Event()
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            self.process.wait(30)

    def get(self, path, port=None):
        return self.ask("GET", path, None, {}, port)

    def ask(self, method, path, body=None, headers=None, port=None):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.api, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def post(self, body, token=True):
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = "Bearer " + (self.dir / "token").read_text().strip()
        return self.ask("POST", "/ingest", json.dumps(body), headers)[0]

    def ctl(self, *args, check=True):
        command = [PROGRAMS / "ron-ledgerctl", "--url", f"http://127.0.0.1:{self.api}", "--metrics-url",
                   f"http://127.0.0.1:{self.metrics}", "--socket", self.dir / "s", *args]
        if args[0] in ("bench", "mint"):
            command += ["--token-file", self.dir / "token"]
        return subprocess.run(command, check=check, capture_output=True, text=True, timeout=600, cwd=self.dir).stdout

    def drill(self, order):
        command = ["curl", "-sf", "--unix-socket", self.dir / "s", "-d", json.dumps(order), "-H",
                   "Content-Type: application/json", "http://localhost/admin/drills"]
        subprocess.run(command, check=True, capture_output=True)

    def again(self, what, pause):
        """Does it again and again in the background, until the node is told that it is over."""
        def loop(over):
            while not over.wait(pause):
                try:
                    what()
                except OSError:
                    pass
        helper = threading.Thread(target=loop, args=(self.over,), daemon=True)
        helper.start()
        self.helpers.append(helper)

    def load(self, rate, connections=8, batch=1):
        """Requests at a constant rate, until it is over."""
        command = [PROGRAMS / "ron-ledgerctl", "--url", f"http://127.0.0.1:{self.api}", "--metrics-url",
                   f"http://127.0.0.1:{self.metrics}", "--token-file", self.dir / "token", "-q", "bench", "--mix", "mint=1",
                   "--rate", str(rate), "--connections", str(connections), "--batch", str(batch), "--duration", "300s"]
        offers = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def end(over):
            over.wait()
            offers.kill()
            offers.wait()
        helper = threading.Thread(target=end, args=(self.over,), daemon=True)
        helper.start()
        self.helpers.append(helper)

    def calm(self):
        """Ends all that goes on in the background."""
        self.over.set()
        for helper in self.helpers:
            helper.join(20)
        self.helpers, self.over = [], threading.Event()


class Fake:
    """A metrics listener that says what it is told to, for what no honest fault brings about."""

    def __init__(self):
        self.values, fake = {}, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                text = "".join(f"{name} {value}\n" for name, value in fake.values.items()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.instance = f"127.0.0.1:{server.server_port}"


class Prometheus:
    """Debian's, with the rules of ops/ on shorter windows, and exemplars."""

    def __init__(self, stage, instances):
        self.port = free_port()
        rules = ROOT / "ops/prometheus"
        (stage / "alerts.yml").write_text(shortened((rules / "alerts.yml").read_text()))
        (stage / "rules.yml").write_text((rules / "rules.yml").read_text())
        targets = ", ".join(f'"{instance}"' for instance in instances)
        (stage / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [alerts.yml, rules.yml]\n"
            f"scrape_configs:\n  - job_name: ron-ledger\n    static_configs: [{{targets: [{targets}]}}]\n")
        subprocess.run(["promtool", "check", "rules", stage / "alerts.yml"], check=True, capture_output=True)
        command = ["prometheus", f"--config.file={stage}/prometheus.yml", f"--storage.tsdb.path={stage}/tsdb",
                   f"--web.listen-address=127.0.0.1:{self.port}", "--enable-feature=exemplar-storage", "--log.level=warn"]
        with open(stage / "prometheus.log", "w") as log:
            self.process = subprocess.Popen(command, stderr=log)
        if not wait(lambda: self.is_up(instances), 60):
            raise RuntimeError(f"not every target is scraped: {(stage / 'prometheus.log').read_text()[-600:]}")

    def api(self, path, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def is_up(self, instances):
        try:
            return len(self.api("query", query="up == 1")["result"]) == len(instances)
        except OSError:
            return False

    def firing(self):
        alerts = self.api("alerts")["alerts"]
        return {(it["labels"]["alertname"], it["labels"]["instance"]) for it in alerts if it["state"] == "firing"}

    def exemplars(self):
        query = {"query": "ledger_commit_latency_seconds_bucket", "start": time.time() - 3600, "end": time.time()}
        return sum(len(series["exemplars"]) for series in self.api("query_exemplars", **query))

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


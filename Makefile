# The everyday commands of the project. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help alerts dashboards run test verify-log sim sim-long kills-long model-deep flips power lint build bench audit-bench restart overload soak upstreams \
	backup-drill doors growth bench-peers steady knobs fuzz fuzz-smoke deny advisories sbom release doc manuals install deb clean-dev interop

CARGO ?= cargo

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## start a development node, send it a sample workload, serve until Ctrl-C
	@scripts/run.sh

test: ## run all tests
	@scripts/setup.sh
	$(CARGO) test --release --locked

verify-log: ## check a large ledger by the verifier in Python: make verify-log ENTRIES=100000
	RON_VERIFY_ENTRIES=$(or $(ENTRIES),100000) $(CARGO) test --release --locked --test it whole::verifier

interop: ## hold traces and metrics against Python's OpenTelemetry and Prometheus, and promtool
	@scripts/setup.sh
	scripts/interop.sh

sim: ## simulate one life of the ledger with its faults: make sim SEED=7
	RON_SIM_SEED=$(or $(SEED),1) $(CARGO) test --release --locked --lib storage::sim::nothing -- --nocapture

sim-long: ## simulate many: make sim-long RUNS=5000
	RON_SIM_RUNS=$(or $(RUNS),2000) $(CARGO) test --release --locked --lib storage::sim::nothing -- --nocapture

kills-long: ## kill -9 under load many times, in small and in large requests: make kills-long KILLS=200
	@scripts/setup.sh
	for batch in 1 64; do RON_KILLS=$(or $(KILLS),200) RON_KILLS_BATCH=$$batch \
		$(CARGO) test --release --locked --test it whole::kills -- --nocapture || exit 1; done

model-deep: ## explore the model of the pipeline to its larger bounds: minutes, and gigabytes of memory
	RON_MODEL_DEEP=1 $(CARGO) test --release --locked --test it model:: -- --nocapture --test-threads=1

flips: ## flip a bit in every byte of two small stores: an hour
	RON_FLIPS=all $(CARGO) test --release --locked --test it faults::flips -- --nocapture --test-threads=1

power: ## open disks as a loss of power may leave them: make power IMAGES=1000
	RON_POWER_IMAGES=$(or $(IMAGES),1000) $(CARGO) test --release --locked --test it faults::power -- --nocapture

alerts: build ## bring each alert to firing by a fault, under a real Prometheus: make alerts ALERTS=--quick
	scripts/setup.sh --checks
	python3 tests/interop/alerts.py $(ALERTS)

dashboards: ## hold the dashboards against Grafana's schema: needs PyPI
	python3 -m venv target/grafana
	target/grafana/bin/pip install --quiet grafana-foundation-sdk==1769699998!10.1.0
	target/grafana/bin/python tests/interop/dashboards.py

lint: ## check format and lints
	@scripts/setup.sh
	$(CARGO) fmt --check
	$(CARGO) clippy --release --locked --all-targets -- -D warnings

build: ## build both programs
	@scripts/setup.sh
	$(CARGO) build --release --locked --bins

bench: build ## measure the commit path step by step, then a node over HTTP
	$(CARGO) bench --locked
	scripts/bench.sh

growth: build ## what size costs, random ids beside ordered ones: make growth ENTRIES=10000000 ACCOUNTS=10000
	scripts/growth.sh $(or $(ENTRIES),10000000) $(or $(ACCOUNTS),10000)

bench-peers: build ## the same transfers beside PostgreSQL, which is installed where it is missing
	scripts/peers.sh $(or $(SECONDS),10)

steady: build ## latency under half of the load that a node carries, and reads under all of it: make steady SECONDS=300
	scripts/steady.sh $(or $(SECONDS),300)

knobs: build ## what each setting changes of throughput, latency and memory: make knobs SETTINGS="http.workers=1"
	scripts/knobs.sh $(SETTINGS)

audit-bench: ## measure the offline verification of an export: make audit-bench ENTRIES=1000000
	RON_AUDIT_ENTRIES=$(or $(ENTRIES),1000000) $(CARGO) bench --locked --bench audit

restart: build ## measure kill -9 to ready: make restart ENTRIES=1000000
	scripts/restart.sh $(or $(ENTRIES),1000000)

overload: build ## offer ten times what a node takes: make overload SECONDS=30
	scripts/overload.sh $(or $(SECONDS),30)

upstreams: build ## ingest with remote upstreams, and reads while all three are away: make upstreams LATENCY_MS=5
	scripts/upstreams.sh $(or $(LATENCY_MS),5)

soak: build ## mixed load, kills and restarts for long, with a verdict: make soak MINUTES=30
	scripts/soak.sh $(or $(MINUTES),30)

doors: build ## certificates exchanged under load, slow connections, a burst of 10,000, with a verdict
	scripts/doors.sh

fuzz: ## fuzz each parser of bytes from outside for long: make fuzz MINUTES=15
	scripts/fuzz.sh $$(($(or $(MINUTES),15) * 60)) $(TARGETS)

fuzz-smoke: ## fuzz all of them, for a minute in all
	scripts/fuzz.sh 6 $(TARGETS)

deny: ## hold licences, sources and banned crates against deny.toml
	$(CARGO) deny --locked check bans licenses sources

advisories: ## hold the lock file against the database of RustSec: needs the network
	$(CARGO) deny --locked check advisories

sbom: ## list all that is in the programs, as CycloneDX
	$(CARGO) cyclonedx --format json --spec-version 1.5 --override-filename ron-ledger.cdx

release: ## build, list, sum and sign a release: make release KEY=release.key
	scripts/release.sh $(KEY)

backup-drill: build ## snapshot under load, a lost machine, a restore: make backup-drill ENTRIES=1000000
	scripts/backup.sh $(or $(ENTRIES),1000000)

doc: ## build the API documentation
	@scripts/setup.sh
	$(CARGO) doc --release --locked --no-deps

manuals: build
	$(CARGO) build --release --locked --example manuals

install: manuals ## put programs, units, manuals, completions and documents in their places: make install DESTDIR=
	DESTDIR=$(DESTDIR) scripts/install.sh

deb: manuals ## make a Debian package, target/package/*.deb; needs cargo-deb
	rm -rf target/package
	DESTDIR=target/package/stage scripts/install.sh
	$(CARGO) deb --no-build --no-strip --output target/package/

clean-dev: ## delete ./dev: the development ledger and its keys
	rm -rf ./dev

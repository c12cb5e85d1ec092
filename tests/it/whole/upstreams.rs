//! The daemon and its upstreams, each a process of its own, over mTLS: every way to fail opens the breaker
//! of that target alone, health and metrics tell, reads go on, and it closes when the service is back.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::header::RETRY_AFTER;
use ron_ledger::client::unit::to_wire;
use ron_ledger::http::dto::RequestIn;
use serde_json::Value;

use crate::support::certificates::Certificates;
use crate::support::daemon::{Daemon, PATIENT, Signal};
use crate::support::entries::{mint, transfer};
use crate::support::keys::Keys;
use crate::support::upstream::{TARGETS, Upstream, borrowed, remote};

/// Longer than any of it takes, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// Breakers that open and close soon, and tokens that are never remembered as fresh.
const SOON: [(&str, &str); 6] = [
    ("capabilities.cache_ttl", "0s"),
    ("upstream.breaker_failures", "3"),
    ("upstream.breaker_open", "300ms"),
    ("upstream.kms.timeout", "300ms"),
    ("upstream.policy.timeout", "300ms"),
    ("upstream.wallet.timeout", "300ms"),
];

struct Scene<'a> {
    daemon: Daemon,
    http: reqwest::Client,
    /// One for all requests: what is remembered is remembered of a token.
    token: String,
    keys: &'a Keys,
}

impl Scene<'_> {
    /// A node of these settings, with a local socket.
    fn start<'a>(keys: &'a Keys, settings: &[(&str, &str)]) -> Scene<'a> {
        let socket = keys.dir().join("s").display().to_string();
        let own = [("uds.path", socket.as_str())];
        let settings = [&PATIENT[..], &SOON, &own, settings].concat();
        let daemon = Daemon::start(keys, "micronode", &settings);
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        Scene { daemon, http, token: keys.master(), keys }
    }

    /// Sends what needs all three; the status, the reason and `Retry-After`.
    async fn write(&self) -> (u16, String, Option<u64>) {
        let batch = vec![to_wire(&mint("alice", 2)), to_wire(&transfer("alice", "bob", 1))];
        let body = RequestIn { batch, idem_id: None, atomic: false };
        let request = self.http.post(format!("{}/ingest", self.daemon.api)).json(&body);
        let response = request.bearer_auth(&self.token).send().await.unwrap();
        let after = response.headers().get(RETRY_AFTER).map(|it| it.to_str().unwrap().parse());
        let (status, after) = (response.status().as_u16(), after.map(Result::unwrap));
        let body: Value = response.json().await.unwrap();
        (status, format!("{} {}", body["reason"], body["details"]), after)
    }

    async fn get(&self, base: &str, path: &str) -> (u16, String) {
        let request = self.http.get(format!("{base}{path}")).bearer_auth(&self.token);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn readyz(&self) -> Value {
        serde_json::from_str(&self.get(&self.daemon.metrics, "/readyz").await.1).unwrap()
    }

    /// One series of one target.
    async fn series(&self, name: &str, target: &str) -> f64 {
        let (_, text) = self.get(&self.daemon.metrics, "/metrics").await;
        let line = format!("{name}{{target=\"{target}\"}} ");
        let value = text.lines().find_map(|it| it.strip_prefix(&line)).expect("the series");
        value.parse().unwrap()
    }

    /// Waits until `/readyz` says so of the target.
    async fn until(&self, target: &str, is_ready: bool) -> Value {
        let started = Instant::now();
        loop {
            let now = self.readyz().await;
            if now[format!("{target}_ready")] == is_ready {
                return now;
            }
            assert!(started.elapsed() < PATIENCE, "{target}: not {is_ready} in time: {now}");
            self.write().await;
        }
    }

    /// What `ron-ledgerctl breakers` says of the target.
    fn breaker(&self, target: &str) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
        command.env_clear().args(["--json", "--socket"]).arg(self.keys.dir().join("s"));
        let output = command.arg("breakers").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rows = shown["breakers"].as_array().unwrap();
        rows.iter().find(|row| row["target"] == target).unwrap().clone()
    }

    async fn assert_reads_answer(&self) {
        for path in ["/accounts/alice", "/checkpoint", "/supply", "/entries/1"] {
            let (status, text) = self.get(&self.daemon.api, path).await;
            assert_eq!(status, 200, "{path}: {text}");
        }
    }
}

/// One process a target, each with the certificates.
fn three(keys: &Keys, certificates: &Certificates<'_>) -> Option<Vec<Upstream>> {
    TARGETS.iter().map(|_| Upstream::tls(keys, 0, certificates)).collect()
}

fn trust(certificates: &Certificates<'_>) -> Vec<(String, String)> {
    [("ca_file", "ca.pem"), ("cert_file", "client.pem"), ("key_file", "client.key")]
        .map(|(key, file)| (format!("upstream.{key}"), certificates.path(file)))
        .to_vec()
}

fn settings(upstreams: &[Upstream], certificates: &Certificates<'_>) -> Vec<(String, String)> {
    let each = upstreams.iter().zip(TARGETS);
    let remote = each.flat_map(|(upstream, target)| remote(upstream, &[target]));
    trust(certificates).into_iter().chain(remote).collect()
}

#[actix_rt::test]
async fn every_way_to_fail_opens_one_breaker_and_the_end_of_it_closes_it() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let Some(mut upstreams) = three(&keys, &certificates) else { return };
    let settings = settings(&upstreams, &certificates);
    let scene = Scene::start(&keys, &borrowed(&settings));
    assert_eq!(scene.write().await.0, 200);
    assert_eq!(scene.get(&scene.daemon.api, "/accounts/alice").await.0, 200);
    for (at, target) in TARGETS.into_iter().enumerate() {
        let faults = [
            ("status 500", "fails with status 500"),
            ("hang", "does not answer in time"),
            ("reset", "is not reached: "),
            ("garbage", "gives an answer that is none: "),
            ("huge", "gives an answer that is none: "),
        ];
        for (openings, (fault, told)) in (1..).zip(faults) {
            upstreams[at].order(fault);
            let now = scene.until(target, false).await;
            assert_eq!((&now["ready"], &now["degraded"]), (&false.into(), &true.into()), "{now}");
            assert!(now["reason"].as_str().unwrap().contains(target), "{now}");
            for other in TARGETS.into_iter().filter(|other| *other != target) {
                assert_eq!(now[format!("{other}_ready")], true, "{fault}: {now}");
            }
            let (status, why, after) = scene.write().await;
            assert_eq!((status, after), (503, Some(5)), "{fault}");
            assert!(why.contains("upstream_unavailable") && why.contains(target), "{why}");
            scene.assert_reads_answer().await;
            let row = scene.breaker(target);
            assert_eq!((&row["mode"], &row["openings"]), (&"remote".into(), &openings.into()));
            assert!(row["last_failure"].as_str().unwrap().starts_with(told), "{fault}: {row}");
            assert_eq!(scene.series("breaker_open_total", target).await, openings as f64);
            assert!(scene.series("breaker_open_seconds", target).await > 0.0);
            upstreams[at].order("ok");
            scene.until(target, true).await;
            assert_eq!(scene.series("breaker_state", target).await, 0.0, "{fault}");
            assert_eq!(scene.series("breaker_open_seconds", target).await, 0.0);
            assert_eq!(scene.write().await.0, 200, "{fault}");
        }
        assert!(scene.series("breaker_open_seconds_total", target).await > 0.0);
    }
    scene.daemon.stop();
}

/// Its rights are wrong, or its address: it is there, and no trial would mend it.
#[actix_rt::test]
async fn a_question_that_is_refused_leaves_the_breaker_closed() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let Some(mut upstreams) = three(&keys, &certificates) else { return };
    let settings = settings(&upstreams, &certificates);
    let scene = Scene::start(&keys, &borrowed(&settings));
    assert_eq!(scene.write().await.0, 200);
    for (at, target) in TARGETS.into_iter().enumerate() {
        upstreams[at].order("status 403");
        for _ in 0..5 {
            let (status, why, _) = scene.write().await;
            assert_eq!(status, 503, "{target}: {why}");
            assert!(why.contains("upstream_unavailable") && why.contains(target), "{why}");
        }
        let row = scene.breaker(target);
        assert_eq!((&row["openings"], &row["state"]), (&0.into(), &"closed".into()), "{row}");
        let told = row["last_failure"].as_str().unwrap();
        assert!(told.starts_with("refuses the question with status 403"), "{row}");
        assert_eq!(scene.readyz().await["ready"], true);
        upstreams[at].order("ok");
        assert_eq!(scene.write().await.0, 200, "{target}");
    }
    scene.daemon.stop();
}

#[actix_rt::test]
async fn with_all_three_open_reads_answer_and_trials_go_on() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let Some(mut upstreams) = three(&keys, &certificates) else { return };
    let settings = settings(&upstreams, &certificates);
    let scene = Scene::start(&keys, &borrowed(&settings));
    assert_eq!(scene.write().await.0, 200);
    // A hanging trial lasts, so that it is seen.
    upstreams.iter_mut().for_each(|it| drop(it.order("hang")));
    for target in TARGETS {
        scene.until(target, false).await;
    }
    let mut states = BTreeSet::new();
    let started = Instant::now();
    while states.len() < 2 {
        assert!(started.elapsed() < PATIENCE, "seen: {states:?}");
        scene.assert_reads_answer().await;
        let (status, why, _) = scene.write().await;
        assert_eq!(status, 503, "{why}");
        states.insert(scene.series("breaker_state", "kms").await as i64);
    }
    assert_eq!(states, BTreeSet::from([1, 2]), "half-open and open");
    upstreams.iter_mut().for_each(|it| drop(it.order("ok")));
    for target in TARGETS {
        scene.until(target, true).await;
    }
    assert_eq!(scene.readyz().await["ready"], true);
    assert_eq!(scene.write().await.0, 200);
    scene.daemon.stop();
}

#[actix_rt::test]
async fn who_is_not_known_by_a_certificate_is_not_asked_nor_answered() {
    let (keys, elsewhere) = (Keys::new(), tempfile::tempdir().unwrap());
    let certificates = Certificates::make(keys.dir());
    let strangers = Certificates::make(elsewhere.path());
    let Some(upstream) = Upstream::tls(&keys, 0, &certificates) else { return };
    let port = upstream.port;
    let mut settings = trust(&certificates);
    settings.extend(remote(&upstream, &["wallet"]));
    let scene = Scene::start(&keys, &borrowed(&settings));
    assert_eq!(scene.write().await.0, 200);
    drop(upstream);
    scene.until("wallet", false).await;
    assert!(!scene.breaker("wallet")["last_failure"].to_string().contains("ertificate"));
    // The same place, and somebody else.
    let stranger = Upstream::tls(&keys, port, &strangers).unwrap();
    let started = Instant::now();
    while !scene.breaker("wallet")["last_failure"].to_string().contains("ertificate") {
        assert!(started.elapsed() < PATIENCE, "{}", scene.breaker("wallet"));
        assert_eq!(scene.write().await.0, 503);
    }
    drop(stranger);
    let _upstream = Upstream::tls(&keys, port, &certificates).unwrap();
    scene.until("wallet", true).await;
    assert_eq!(scene.write().await.0, 200);
    scene.daemon.stop();

    // And a ledger without a certificate of its own, or with one of another authority.
    let bare =
        settings.iter().filter(|(key, _)| !key.contains("t_file") && !key.contains("y_file"));
    let mut foreign: Vec<_> = bare.clone().cloned().collect();
    foreign.push(("upstream.cert_file".to_owned(), strangers.path("client.pem")));
    foreign.push(("upstream.key_file".to_owned(), strangers.path("client.key")));
    for settings in [bare.cloned().collect(), foreign] {
        let scene = Scene::start(&keys, &borrowed(&settings));
        scene.until("wallet", false).await;
        assert_eq!(scene.write().await.0, 503);
        scene.daemon.stop();
    }
}

#[actix_rt::test]
async fn timeouts_are_read_again_on_sighup_and_nonsense_leaves_them() {
    let keys = Keys::new();
    let Some(mut upstream) = Upstream::plain(&keys) else { return };
    let file = keys.dir().join("ledger.toml");
    let write = |timeout: &str| {
        let url = upstream.url("policy");
        let text = format!(
            "[upstream.policy]\nmode = \"remote\"\nurl = \"{url}\"\ntimeout = \"{timeout}\"\nretries = 0\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write("8s");
    let mut command = Daemon::program();
    command.arg("--config").arg(&file);
    let socket = keys.dir().join("s").display().to_string();
    let settings = [&PATIENT[..], &[("uds.path", socket.as_str())]].concat();
    let mut daemon = Daemon::spawn_by(command, &keys, "micronode", &settings);
    daemon.await_line("ready=1");
    let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    let mut scene = Scene { daemon, http, token: keys.master(), keys: &keys };
    write("100ms");
    upstream.order("latency 1000");
    assert_eq!(scene.write().await.0, 200, "as it was at the start");
    scene.daemon.signal(Signal::HUP);
    scene.daemon.await_line("reloaded upstream");
    let (status, why, _) = scene.write().await;
    assert_eq!(status, 503, "{why}");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[upstream.policy]\ntimeout = \"soon\"\n");
    scene.daemon.signal(Signal::HUP);
    let line = scene.daemon.await_line("the settings stay as they were");
    assert!(line.contains("upstream.policy.timeout"), "{line}");
    assert_eq!(scene.write().await.0, 503);
    scene.daemon.stop();
}

//! Closed label sets: a label that comes from an enum cannot grow without bound, and its series
//! exist from the start, so that an alert on a rate sees the first event.

use std::marker::PhantomData;

use prometheus::core::{MetricVec, MetricVecBuilder};

/// One label whose values are known when the program is compiled.
pub trait Label: Copy + 'static {
    /// The name of the label.
    const NAME: &'static str;
    /// All values, in the order of their index.
    const ALL: &'static [Self];

    /// The value as it is exported.
    fn as_str(self) -> &'static str;

    /// The place of this value in [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident($label:literal) { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// The bounded queues that a request passes.
    Queue("q") {
        /// Admitted, not yet validated.
        Ingress = "ingress",
        /// Waiting for a validator.
        Preval = "preval",
        /// Sequenced and not yet durable.
        Commit = "commit",
    }
}

label! {
    /// Services that the ledger asks, each behind a breaker.
    Target("target") {
        /// Verifies capabilities.
        Kms = "kms",
        /// Decides by policy.
        Policy = "policy",
        /// Checks for double spends.
        Wallet = "wallet",
    }
}

label! {
    /// What became of asking a service once.
    UpstreamOutcome("outcome") {
        /// There is an answer.
        Answered = "answered",
        /// It refuses the question (4xx).
        Refused = "refused",
        /// It has failed (5xx).
        Failed = "failed",
        /// No connection, or one that broke.
        Unreachable = "unreachable",
        /// No answer in time.
        Late = "late",
        /// An answer that is none.
        Strange = "strange",
    }
}

label! {
    /// The supervised actors.
    ActorName("actor") {
        /// Admits requests.
        Ingress = "ingress",
        /// Validates them.
        Prevalidator = "prevalidator",
        /// Orders them.
        Sequencer = "sequencer",
        /// Writes them.
        Committer = "committer",
        /// Signs and publishes roots.
        RootPublisher = "root_publisher",
        /// Watches an upstream.
        Breaker = "breaker",
        /// Asks upstreams whether they are there.
        Prober = "prober",
        /// Carries out operators' commands.
        Admin = "admin",
        /// Asks the witnesses.
        Witnesses = "witnesses",
        /// Reads the store again.
        Verifier = "verifier",
        /// Puts what is published into the archive.
        Archiver = "archiver",
        /// Takes what another node has archived.
        Follower = "follower",
    }
}

label! {
    /// What became of asking a witness.
    WitnessAnswer("answer") {
        /// It has cosigned.
        Cosigned = "cosigned",
        /// It stands beyond the checkpoint, within the log.
        Waits = "waits",
        /// It has seen more than there is.
        Ahead = "ahead",
        /// It has seen another history.
        Fork = "fork",
        /// No answer to go by.
        Failed = "failed",
    }
}

label! {
    /// How a pass over the published log ended, or why there was none.
    VerifierFinding("kind") {
        /// A hole, or a block that cannot stand where it stands.
        ChainBroken = "chain_broken",
        /// What is stored is not what its entries make.
        Differs = "differs",
        /// It ended early: the store could not be read, or the process ends.
        Incomplete = "incomplete",
        /// It was due and could not begin: the ledger is not open, or nothing is published.
        NotRun = "not_run",
    }
}

label! {
    /// What became of a snapshot.
    SnapshotOutcome("outcome") {
        /// Handed over to its last byte.
        Made = "made",
        /// Not made, or not handed over whole.
        Failed = "failed",
    }
}

label! {
    /// How a client is connected. A class: addresses would be a series each.
    Peer("peer") {
        /// TCP, with or without TLS, without a client certificate.
        Tcp = "tcp",
        /// TLS with a client certificate.
        Mtls = "mtls",
        /// The Unix socket.
        Uds = "uds",
    }
}

label! {
    /// The planes that speak TLS.
    TlsPlane("plane") {
        /// The clients' and auditors'.
        Api = "api",
        /// The operators'.
        Admin = "admin",
    }
}

label! {
    /// What became of reading certificates again.
    TlsReload("outcome") {
        /// They serve.
        Done = "done",
        /// They are unfit, and the old ones serve on.
        Refused = "refused",
    }
}

label! {
    /// What became of reading a file again while the node runs.
    Reload("outcome") {
        /// It is in force.
        Done = "done",
        /// It is unfit, and what was in force stays.
        Refused = "refused",
    }
}

label! {
    /// What makes a request look like one of a synthetic flood.
    Anomaly("kind") {
        /// A path of no route that no person and no program would write.
        HighEntropyPath = "high_entropy_path",
        /// A body that is no request, and looks random.
        HighEntropyPayload = "high_entropy_payload",
        /// One more refusal in a second that has had very many.
        ClientErrorFlood = "client_error_flood",
    }
}

label! {
    /// What a denied request was known by.
    Denial("kind") {
        /// The address that it came from.
        Peer = "peer",
        /// How its path begins.
        Path = "path",
        /// One of its headers.
        Header = "header",
    }
}

label! {
    /// Whose rate a request was above.
    RateScope("scope") {
        /// Of all.
        Global = "global",
        /// Of its capability.
        Capability = "capability",
        /// Of the local socket.
        Uds = "uds",
        /// Of connections with a client certificate.
        Mtls = "mtls",
        /// Of TLS without one.
        Tls = "tls",
        /// Of connections without TLS.
        Plain = "plain",
    }
}

label! {
    /// The two instances of RocksDB.
    Instance("store") {
        /// The log of the ledger.
        Truth = "truth",
        /// What follows from it.
        Derived = "derived",
    }
}

label! {
    /// Why a span of a sampled request did not reach the collector.
    DropReason("reason") {
        /// Too many waited.
        Queue = "queue",
        /// The collector did not take it.
        Export = "export",
    }
}

label! {
    /// What operators do to a node on purpose.
    Drill("drill") {
        /// Kills the process, or an actor, at a point.
        Kill = "kill",
        /// Makes an fsync fail.
        FsyncFail = "fsync_fail",
        /// Fills the disk.
        DiskFill = "disk_fill",
        /// Holds many slow connections.
        Slowloris = "slowloris",
    }
}

/// A metric with one closed label: each series is found by index, without a lock.
pub struct Closed<L, M> {
    children: Vec<M>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, M> Closed<L, M> {
    /// Creates the series of every value of the label.
    pub(super) fn new<B: MetricVecBuilder<M = M>>(vec: &MetricVec<B>) -> Self
    where
        M: prometheus::core::Metric,
    {
        let children = L::ALL.iter().map(|l| vec.with_label_values(&[l.as_str()])).collect();
        Self { children, label: PhantomData }
    }

    /// The series of this value.
    pub fn of(&self, label: L) -> &M {
        &self.children[label.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<L: Label + PartialEq + std::fmt::Debug>() {
        for (at, label) in L::ALL.iter().enumerate() {
            assert_eq!(label.index(), at, "{label:?}");
        }
    }

    #[test]
    fn index_is_the_place_in_all() {
        check::<Queue>();
        check::<Target>();
        check::<ActorName>();
        check::<Peer>();
        check::<Drill>();
        check::<DropReason>();
        check::<Instance>();
        check::<WitnessAnswer>();
        check::<TlsPlane>();
        check::<TlsReload>();
        check::<Reload>();
        check::<Anomaly>();
        check::<Denial>();
        check::<VerifierFinding>();
        check::<UpstreamOutcome>();
        check::<SnapshotOutcome>();
    }
}

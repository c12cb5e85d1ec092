//! Looks at both sides of a load over HTTP: at the ledger by its metrics, and at its process where
//! that is on this machine; and at this process.

use std::path::PathBuf;

use comfy_table::Table;
use serde::Serialize;

use super::disk::Disk;
use super::ledger::Ledger;
use super::process;
use crate::client::Client;
use crate::ctl::CtlError;
use crate::ctl::context::Context;

/// Where to look.
pub(super) struct Watch {
    metrics: Client,
    pid: Option<u32>,
    data_dir: Option<PathBuf>,
    before: Option<String>,
    client_cpu: f64,
    server_cpu: Option<f64>,
}

/// What was seen between two looks.
#[derive(Debug, Serialize)]
pub(super) struct Seen {
    /// What the ledger counted meanwhile; `null` when its metrics cannot be read.
    ledger: Option<Ledger>,
    client_cpu_seconds: f64,
    /// By the kernel, or else by the ledger's metrics; `null` when neither can be read.
    server_cpu_seconds: Option<f64>,
    /// The most memory that the ledger's process ever had; `null` when that is not known.
    server_resident_bytes_peak: Option<u64>,
    /// What its data directory takes; `null` when that is not given.
    disk: Option<Disk>,
    /// Of tables alone, over all entries that are in the ledger.
    disk_bytes_per_entry: Option<f64>,
}

impl Watch {
    /// Looks at the ledger that listens for metrics, and at the process `pid` if that is known.
    pub(super) fn new(
        context: &Context,
        pid: Option<u32>,
        data_dir: Option<PathBuf>,
    ) -> Result<Self, CtlError> {
        let metrics = context.metrics_client()?;
        let (before, client_cpu, server_cpu) = (None, 0.0, None);
        Ok(Watch { metrics, pid, data_dir, before, client_cpu, server_cpu })
    }

    /// From now on.
    pub(super) async fn start(&mut self) {
        self.before = self.metrics.text("metrics").await.ok();
        self.server_cpu = self.pid.and_then(process::cpu_seconds);
        self.client_cpu = process::own_cpu_seconds();
    }

    /// Until now.
    pub(super) async fn end(self) -> Seen {
        let client_cpu_seconds = process::own_cpu_seconds() - self.client_cpu;
        let server_cpu = self.pid.and_then(process::cpu_seconds);
        let after = self.metrics.text("metrics").await.ok();
        let ledger = self.before.zip(after).map(|(before, after)| Ledger::between(&before, &after));
        let disk = self.data_dir.and_then(|dir| Disk::of(&dir).ok());
        let entries = ledger.as_ref().map(Ledger::entries).filter(|entries| *entries > 0.0);
        let counted = ledger.as_ref().map(|ledger| ledger.cpu_seconds);
        let used = server_cpu.zip(self.server_cpu).map(|(after, before)| after - before);
        Seen {
            client_cpu_seconds,
            server_cpu_seconds: used.or(counted),
            server_resident_bytes_peak: self.pid.and_then(process::peak_bytes),
            disk,
            disk_bytes_per_entry: disk
                .zip(entries)
                .map(|(disk, all)| disk.table_bytes as f64 / all),
            ledger,
        }
    }
}

impl Seen {
    /// The rows of it, for a load of so many entries.
    pub(super) fn rows(&self, entries: u64, table: &mut Table) {
        let each = |seconds: f64| seconds * 1e6 / entries.max(1) as f64;
        let cpu = |seconds: f64| format!("{seconds:.2} s, {:.2} us an entry", each(seconds));
        table.add_row(["client's CPU", &cpu(self.client_cpu_seconds)]);
        let server = self.server_cpu_seconds.map_or_else(|| "n/a".to_owned(), cpu);
        table.add_row(["ledger's CPU", &server]);
        Ledger::rows(self.ledger.as_ref(), table);
        if let Some(peak) = self.server_resident_bytes_peak {
            table.add_row(["  at most", &format!("{:.0} MiB", mib(peak))]);
        }
        if let Some(Disk { table_bytes, log_bytes, other_bytes }) = self.disk {
            let text = format!(
                "{:.1} MiB; {:.1}; {:.1}",
                mib(table_bytes),
                mib(log_bytes),
                mib(other_bytes)
            );
            table.add_row(["on disk: tables; logs; others", &text]);
        }
        if let Some(each) = self.disk_bytes_per_entry {
            table.add_row(["bytes of tables an entry", &format!("{each:.0}")]);
        }
    }
}

/// Bytes in MiB.
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seen: &Seen) -> String {
        let mut table = Table::new();
        seen.rows(1_000, &mut table);
        table.to_string()
    }

    #[test]
    fn what_cannot_be_told_is_not_made_up() {
        let nothing = Seen {
            ledger: None,
            client_cpu_seconds: 0.5,
            server_cpu_seconds: None,
            server_resident_bytes_peak: None,
            disk: None,
            disk_bytes_per_entry: None,
        };
        let told = text(&nothing);
        assert!(told.contains("0.50 s, 500.00 us an entry") && told.contains("n/a"), "{told}");
        assert!(told.contains("its metrics cannot be read"), "{told}");
        let json = serde_json::to_value(&nothing).unwrap();
        assert!(json["ledger"].is_null() && json["server_cpu_seconds"].is_null(), "{json}");

        let metrics = Seen { ledger: Some(Ledger::between("", "")), ..nothing };
        assert!(!text(&metrics).contains("its metrics"), "{}", text(&metrics));
        let disk = Some(Disk { table_bytes: 3 << 20, log_bytes: 1 << 20, other_bytes: 0 });
        let known = Seen {
            server_cpu_seconds: Some(2.0),
            server_resident_bytes_peak: Some(64 << 20),
            disk,
            disk_bytes_per_entry: Some(200.0),
            ..metrics
        };
        for expected in ["2.00 s, 2000.00 us an entry", "64 MiB", "3.0 MiB; 1.0; 0.0", "200"] {
            assert!(text(&known).contains(expected), "{expected}: {}", text(&known));
        }
    }
}

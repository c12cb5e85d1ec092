//! What a command says: results on stdout, as tables or JSON, and everything else on stderr.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::CtlError;

/// 9999-12-31T23:59:59.999Z, the last time that has a usual form.
const LAST_MS: u64 = 253_402_300_799_999;

/// Where and how to speak.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    /// Results as JSON.
    pub json: bool,
    /// Only results.
    pub quiet: bool,
}

impl Ui {
    /// Shows a result: as JSON when asked for, else as a table.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn show(
        &self,
        value: &impl Serialize,
        table: impl FnOnce() -> Table,
    ) -> Result<(), CtlError> {
        if self.json {
            return self.show_json(value);
        }
        self.show_table(&table())
    }

    /// Shows a result as one JSON document.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn show_json(&self, value: &impl Serialize) -> Result<(), CtlError> {
        let text = serde_json::to_string_pretty(value).map_err(CtlError::internal)?;
        self.line(text)
    }

    /// Shows a table, without the blanks at the ends of its lines.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn show_table(&self, table: &Table) -> Result<(), CtlError> {
        self.line(table.trim_fmt())
    }

    /// Writes one line, or more, of a result.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn line(&self, text: impl std::fmt::Display) -> Result<(), CtlError> {
        Ok(writeln!(io::stdout().lock(), "{text}")?)
    }

    /// Says something that is not the result.
    pub fn note(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            // A command does not fail for want of someone who listens.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// An empty table: with lines on a terminal, without them in a pipe.
    pub fn table<const N: usize>(&self, header: [&str; N]) -> Table {
        let mut table = Table::new();
        let terminal = io::stdout().is_terminal();
        table.load_style(if terminal { presets::UTF8_FULL_CONDENSED } else { presets::NOTHING });
        if header.iter().any(|name| !name.is_empty()) {
            table.set_header(header);
        }
        table
    }

    /// A progress bar over `total` entries on stderr; nothing where nobody looks.
    pub fn progress(&self, total: u64) -> ProgressBar {
        let template = "{bar:32} {human_pos}/{human_len} entries, {per_sec}, {eta} left  {msg}";
        self.bar(total, template)
    }

    /// The same over `total` bytes.
    pub fn bytes(&self, total: u64) -> ProgressBar {
        let template =
            "{bar:32} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
        self.bar(total, template)
    }

    /// The same over `total` seconds.
    pub fn clock(&self, total: u64) -> ProgressBar {
        self.bar(total, "{bar:32} {pos}/{len} s  {msg}")
    }

    fn bar(&self, total: u64, template: &str) -> ProgressBar {
        let hidden = self.quiet || self.json || !io::stderr().is_terminal();
        let target =
            if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template(template);
        ProgressBar::with_draw_target(Some(total), target)
            .with_style(style.expect("the template names fields that there are"))
    }
}

/// A time in ms since 1970, for people.
pub fn time_text(ms: u64) -> String {
    match ms <= LAST_MS {
        true => {
            humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
        }
        false => format!("{ms} ms"),
    }
}

/// An optional value, for people.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_has_a_text() {
        assert_eq!(time_text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time_text(LAST_MS), "9999-12-31T23:59:59.999Z");
        assert_eq!(time_text(u64::MAX), "18446744073709551615 ms");
    }
}

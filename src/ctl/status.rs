//! `status`: is the ledger ready, and how far has it come.

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::checkpoint::{self, Shown};
use super::context::{Context, ask};
use super::{CtlError, Exit};

/// Show readiness, version and head
///
/// Fails with exit code 1 when the ledger is not ready.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl status\n  \
    ron-ledgerctl status --metrics-url http://10.0.0.7:9909 --json")]
pub(super) struct StatusArgs {}

#[derive(Serialize)]
struct Status {
    ready: bool,
    readyz: Value,
    version: Value,
    /// None before the first one, or when the API does not tell.
    checkpoint: Option<Shown>,
}

pub(super) async fn run(_: StatusArgs, context: &Context) -> Result<(), CtlError> {
    let (metrics, api) = (context.metrics_client()?, context.client()?);
    // The short form of the API will do where the metrics listener is out of reach.
    let (plane, readyz) = match ask(|| metrics.probe("readyz")).await {
        Ok(readyz) => (&metrics, readyz),
        Err(error) if error.exit() == Exit::Unreachable => {
            context.ui.note(format_args!("{error}\nnote: asking the API instead"));
            (&api, ask(|| api.probe("readyz")).await?)
        }
        Err(error) => return Err(error),
    };
    let version = ask(|| plane.probe("version")).await?;
    let checkpoint = checkpoint::fetch(&api, None).await.ok();
    let ready = readyz.get("ready").and_then(Value::as_bool).unwrap_or(false);
    let status = Status { ready, readyz, version, checkpoint };
    context.ui.show(&status, || {
        let mut table = context.ui.table(["", ""]);
        let values = [&status.readyz, &status.version].into_iter().filter_map(Value::as_object);
        for (name, value) in values.flatten().filter(|(_, value)| !value.is_array()) {
            table.add_row([name.replace('_', " "), plain(value)]);
        }
        if let Some(checkpoint) = &status.checkpoint {
            table.add_row(["checkpoint origin", &checkpoint.origin]);
            table.add_row(["checkpoint size", &checkpoint.size.to_string()]);
            table.add_row(["checkpoint root", &checkpoint.root]);
        }
        table
    })?;
    match ready {
        true => Ok(()),
        false => Err(CtlError::new(Exit::Refused, "the ledger is not ready")
            .hint("the reason is in the line `reason`; RUNBOOK.md says what to do about each")),
    }
}

/// A value without the quotes of JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

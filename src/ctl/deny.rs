//! `deny`: what a running node turns away while a flood lasts, over its local socket.

use clap::{Args, Subcommand};

use super::CtlError;
use super::context::{Context, ask};
use crate::http::denials::{DenialsOut, DenyAction, DenyIn, PatternKind};

/// See and set what the API of a running node turns away, until the daemon is restarted
#[derive(Debug, Subcommand)]
pub(super) enum DenyCommand {
    /// Show what is denied
    #[command(after_help = "Example:\n  ron-ledgerctl deny list --json")]
    List,
    /// Deny one thing more
    #[command(after_help = "Examples:\n  \
        ron-ledgerctl deny add --peer 203.0.113.0/24\n  \
        ron-ledgerctl deny add --path /entries/by-id/")]
    Add(PatternArgs),
    /// Deny it no longer
    #[command(after_help = "Example:\n  ron-ledgerctl deny remove --peer 203.0.113.0/24")]
    Remove(PatternArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct PatternArgs {
    /// An address, or a network
    #[arg(long, value_name = "ADDR[/BITS]")]
    peer: Option<String>,

    /// How paths begin
    #[arg(long, value_name = "PREFIX")]
    path: Option<String>,

    /// A header with its value, whole
    #[arg(long, value_name = "NAME: VALUE")]
    header: Option<String>,
}

impl PatternArgs {
    fn asked(self, action: DenyAction) -> DenyIn {
        let PatternArgs { peer, path, header } = self;
        let (kind, value) = match (peer, path) {
            (Some(peer), _) => (PatternKind::Peer, peer),
            (None, Some(path)) => (PatternKind::Path, path),
            // One of the three is there: the command line's own rule.
            (None, None) => (PatternKind::Header, header.unwrap_or_default()),
        };
        DenyIn { action, kind, value }
    }
}

pub(super) async fn run(command: DenyCommand, context: &Context) -> Result<(), CtlError> {
    let client = context.local_client()?;
    let denials = match command {
        DenyCommand::List => ask(|| client.denials()).await?,
        // Not retried: what has happened already is refused.
        DenyCommand::Add(args) => client.deny(&args.asked(DenyAction::Add)).await?,
        DenyCommand::Remove(args) => client.deny(&args.asked(DenyAction::Remove)).await?,
    };
    show(&denials, context)
}

fn show(denials: &DenialsOut, context: &Context) -> Result<(), CtlError> {
    context.ui.show(denials, || {
        let mut table = context.ui.table(["denied by", "pattern"]);
        for pattern in &denials.patterns {
            let kind = match pattern.kind {
                PatternKind::Peer => "peer",
                PatternKind::Path => "path",
                PatternKind::Header => "header",
            };
            table.add_row([kind, &pattern.value]);
        }
        table
    })
}

//! `completions`: what a shell needs to complete commands and options.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::context::Context;
use super::{Cli, CtlError};

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl completions bash > /usr/share/bash-completion/completions/ron-ledgerctl\n  \
    ron-ledgerctl completions zsh > /usr/share/zsh/vendor-completions/_ron-ledgerctl\n  \
    ron-ledgerctl completions fish > /usr/share/fish/vendor_completions.d/ron-ledgerctl.fish")]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: CompletionsArgs, context: &Context) -> Result<(), CtlError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ron-ledgerctl", &mut script);
    let script = String::from_utf8(script).map_err(CtlError::internal)?;
    context.ui.line(script.trim_end())
}

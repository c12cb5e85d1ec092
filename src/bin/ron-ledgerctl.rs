//! The command line of operators, auditors and client developers.

use std::process::ExitCode;

use clap::Parser as _;
use ron_ledger::ctl::{Cli, Exit};

fn main() -> ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(shown) => {
            // Help and the version come this way too. Nobody is left to tell when this fails.
            let _ = shown.print();
            return if shown.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match outcome {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            error.report();
            error.exit().into()
        }
    }
}

//! Writes what a package brings beside the programs: manual pages of both, and completions.
//!
//! `cargo run --release --example manuals -- target/manuals`

use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use ron_ledger::app;
use ron_ledger::ctl::Cli;

fn main() -> Result<(), Box<dyn Error>> {
    let out: PathBuf = std::env::args_os().nth(1).ok_or("usage: manuals DIRECTORY")?.into();
    let pages = out.join("man");
    fs::create_dir_all(&pages)?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), &pages)?;
    // Its section is that of programs for administrators.
    let daemon = clap_mangen::Man::new(app::Args::command()).section("8");
    daemon.render(&mut File::create(pages.join("ron-ledgerd.8"))?)?;
    complete(&mut Cli::command(), &out)?;
    complete(&mut app::Args::command(), &out)
}

fn complete(command: &mut Command, out: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let name = command.get_name().to_owned();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let directory = out.join(shell.to_string());
        fs::create_dir_all(&directory)?;
        clap_complete::generate_to(shell, command, &name, directory)?;
    }
    Ok(())
}

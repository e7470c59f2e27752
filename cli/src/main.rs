//! The `warploom` command: parses arguments, calls the facade, prints, maps blame to exit codes.
//!
//! Keeps: standard output holds only what was asked for; errors go to standard error; the exit
//! code is the diagnostic's blame (docs/ARCHITECTURE.md); never a panic on input.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod load;
mod output;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let result = match cli.command {
        // they limit the time of each pair and candidate instead
        Command::Reduce(args) => commands::reduce::reduce(&args),
        Command::Tune(args) => commands::tune::tune(&args),
        Command::Compare(args) => commands::compare::compare(&args),
        Command::Bench(args) => commands::bench::bench(&args),
        other => warploom::within(Duration::from_secs(cli.time_limit), || run(other)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(diagnostic) => {
            output::error(&diagnostic);
            ExitCode::from(diagnostic.blame.exit_code())
        }
    }
}

fn run(command: Command) -> warploom::diag::Result<()> {
    match command {
        Command::Run(args) => commands::run::run(&args),
        Command::Check(args) => commands::check::check(&args),
        Command::Deps(args) => commands::deps::deps(&args),
        Command::Schedule(args) => commands::schedule::schedule(&args),
        Command::Explain(args) => commands::explain::explain(&args),
        Command::Emit(args) => commands::emit::emit(&args),
        Command::Ozaki(args) => commands::ozaki::ozaki(&args),
        Command::Reduce(args) => commands::reduce::reduce(&args),
        Command::Tune(args) => commands::tune::tune(&args),
        Command::Compare(args) => commands::compare::compare(&args),
        Command::Bench(args) => commands::bench::bench(&args),
        Command::Doctor(args) => commands::doctor::doctor(&args),
    }
}

/// Help and version are no errors; any other misuse of the command line is wrong input.
fn usage(error: &clap::Error) -> ExitCode {
    // a closed pipe while printing help leaves nothing to report to
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    }
}

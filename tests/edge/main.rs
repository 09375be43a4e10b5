//! The program itself, built beside the tests so that they can run it as processes.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    causeway::cli::Cli::parse().run()
}

//! The binary `causeway`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    causeway::cli::Cli::parse().run()
}

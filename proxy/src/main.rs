//! The binary `causeway`.

use std::process::ExitCode;

use clap::Parser;

/// With glibc's, a fifth of a request's instructions was spent in it: the engine takes and gives back buffers all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    causeway::cli::Cli::parse().run()
}

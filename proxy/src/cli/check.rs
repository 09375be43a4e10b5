//! `causeway check`: everything that is wrong with a configuration file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The file to check.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> ExitCode {
        match causeway_config::load(&self.file) {
            Ok(parsed) => {
                if self.json {
                    println!("{:#}", json!({"valid": true, "hash": parsed.hash, "warnings": parsed.warnings}));
                } else {
                    for warning in &parsed.warnings {
                        println!("warning: {}", warning.display(&self.file));
                    }
                    println!("{}: valid, {} clusters (hash {})", self.file.display(), parsed.config.clusters.len(), parsed.hash);
                }
                ExitCode::SUCCESS
            }
            Err(errors) => {
                if self.json {
                    println!("{:#}", json!({"valid": false, "errors": errors.errors, "omitted": errors.omitted}));
                } else {
                    eprintln!("{errors}");
                }
                ExitCode::FAILURE
            }
        }
    }
}

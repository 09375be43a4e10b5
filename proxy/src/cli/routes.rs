//! `causeway routes`: what is served, and by which object's word.

use std::fmt::Write as _;
use std::process::ExitCode;

use causeway_core::view;
use clap::Args;
use serde_json::{Value, json};

use super::{Fleet, admin_client};

#[derive(Debug, Args)]
pub(super) struct Routes {
    #[command(flatten)]
    fleet: Fleet,
    /// Ask a running edge's admin port instead, such as `http://127.0.0.1:9900`.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Routes {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (routes, diagnostics) = if let Some(admin) = &self.admin {
            (admin_client::get(admin, "/routes")?, admin_client::get(admin, "/diagnostics")?)
        } else {
            let offline = self.fleet.offline()?;
            (json!(view::routes(&offline.snapshot)), json!(offline.diagnostics))
        };
        if self.json {
            println!("{:#}", json!({"routes": routes, "diagnostics": diagnostics}));
        } else {
            print!("{}", table(&routes));
            for diagnostic in diagnostics.as_array().into_iter().flatten() {
                eprintln!("{}", sentence(diagnostic));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Host, path, where to, and who said so; columns as wide as they must be.
fn table(routes: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |route: &Value| {
        let exact = if route["exact"] == true { " (exact)" } else { "" };
        let target = |backend: &Value| {
            backend["pool"].as_str().map_or_else(|| format!("503: {}", text(&backend["problem"])), str::to_owned)
        };
        let backends: Vec<_> = route["backends"].as_array().into_iter().flatten().map(target).collect();
        let fence = route["fence"].as_array().map(|f| format!(" [only {}]", f.iter().map(text).collect::<Vec<_>>().join(", ")));
        [
            text(&route["host"]),
            format!("{}{exact}", text(&route["path"])),
            format!("{}{}", backends.join(", "), fence.unwrap_or_default()),
            format!(
                "{} {} in {}",
                text(&route["origin"]["kind"]),
                text(&route["origin"]["object"]),
                text(&route["origin"]["cluster"])
            ),
        ]
    };
    let head = ["HOST", "PATH", "BACKEND", "FROM"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(routes.as_array().into_iter().flatten().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2)];
    let [w0, w1, w2] = widths;
    let mut table = String::new();
    for [a, b, c, d] in &rows {
        let _ = writeln!(table, "{a:<w0$}  {b:<w1$}  {c:<w2$}  {d}");
    }
    table
}

/// A diagnostic as its Display has it, from its JSON.
fn sentence(diagnostic: &Value) -> String {
    let parts = ["severity", "cluster", "object", "field", "problem"];
    let said: Vec<_> = parts.iter().filter_map(|part| diagnostic[part].as_str()).filter(|part| !part.is_empty()).collect();
    format!("{}; {}", said.join(": "), diagnostic["remedy"].as_str().unwrap_or_default())
}

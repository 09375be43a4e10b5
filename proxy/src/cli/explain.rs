//! `causeway explain`: where a request would go, and why.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::{Fleet, admin_client};
use crate::admin::ExplainQuery;
use crate::control::explain_request;
use crate::geo_db::LocatorCell;
use crate::metrics::Metrics;
use crate::shared::Clock;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The URL that would be asked for, as `https://HOST/PATH`.
    #[arg(value_name = "URL")]
    url: String,
    /// The client's IP address; without one its location is unknown.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    #[command(flatten)]
    fleet: Fleet,
    /// Ask a running edge's admin port instead, such as `http://127.0.0.1:9900`.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// The randomness of the draw; the same seed draws the same.
    #[arg(long, default_value_t = 0, value_name = "N", conflicts_with = "admin")]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Exits 1 where the request would be refused.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        pairs.append_pair("url", &self.url);
        if let Some(client) = self.client {
            pairs.append_pair("client", &client.to_string());
        }
        let query = pairs.finish();
        let parsed = ExplainQuery::parse(&query)?;
        let explanation = match &self.admin {
            Some(admin) => admin_client::get(admin, &format!("/explain?{query}"))?,
            None => self.offline(&parsed)?,
        };
        if self.json {
            println!("{explanation:#}");
        } else {
            print!("{}", text(&explanation));
        }
        Ok(if explanation["decision"].is_object() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn offline(&self, query: &ExplainQuery) -> anyhow::Result<Value> {
        let offline = self.fleet.offline()?;
        let clock = Clock::start();
        let locator = Arc::new(LocatorCell::default());
        let metrics = Metrics::new(offline.snapshot.home(), std::time::SystemTime::now());
        locator.apply(&offline.config.geo, &metrics)?;
        match explain_request(&offline.snapshot, &locator, query, clock, self.seed) {
            Some(explanation) => Ok(json!(explanation)),
            None => anyhow::bail!("{} has no valid host; write https://HOST/PATH", self.url),
        }
    }
}

/// The explanation as an operator reads it.
pub(super) fn text(explanation: &Value) -> String {
    let mut out = Lines::default();
    let say = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    out.line("request", &format!("{}{}", say(&explanation["host"]), say(&explanation["path"])));
    out.line("edge", &say(&explanation["home"]));
    out.line(
        "client",
        &explanation["location"].as_str().map_or("location unknown, counts as home".to_owned(), |l| format!("in {l}")),
    );
    if let Some(refusal) = explanation["refused"].as_str() {
        out.line("refused", refusal);
        return out.0;
    }
    let decision = &explanation["decision"];
    out.line("rule", &format!("{} {}", say(&decision["rule"][0]), say(&decision["rule"][1])));
    let route = &decision["route"];
    out.line("route", &format!("{} {} in {}", say(&route["kind"]), say(&route["object"]), say(&route["cluster"])));
    out.line("pool", &format!("{} port {}", say(&decision["pool"]["service"]), decision["pool"]["port"]));
    let tier = |tier: &Value| tier.as_array().into_iter().flatten().map(say).collect::<Vec<_>>().join(" + ");
    let tiers: Vec<_> = decision["tiers"].as_array().into_iter().flatten().map(tier).collect();
    out.line("tiers", &format!("{}, by the rule `{}`", tiers.join(", then "), say(&decision["preferredBy"])));
    for cluster in decision["clusters"].as_array().into_iter().flatten() {
        let share = cluster["share"].as_f64().unwrap_or_default() * 100.0;
        let verdict = cluster["passedOver"].as_str().map_or("picked".to_owned(), |why| format!("passed over: {why}"));
        let facts = format!(
            "{:<10} share {share:5.1} %, {} of {} endpoints ready, {:.0} ms; {verdict}",
            say(&cluster["cluster"]),
            cluster["ready"],
            cluster["endpoints"],
            cluster["latencyMs"].as_f64().unwrap_or_default(),
        );
        out.line("cluster", &facts);
    }
    let candidates = decision["candidates"].as_array().map_or(&[][..], Vec::as_slice);
    if candidates.is_empty() {
        out.line("refused", decision["unserved"].as_str().unwrap_or("no allowed cluster has an endpoint that could serve"));
    }
    if let Some(why) = decision["spilled"].as_str() {
        out.line("spilled", why);
    }
    for (position, candidate) in candidates.iter().enumerate() {
        let facts = format!(
            "{}. {} in {} ({}): cost {:.0} ms, {} in flight",
            position + 1,
            say(&candidate["address"]),
            say(&candidate["cluster"]),
            say(&candidate["step"]),
            candidate["costMs"].as_f64().unwrap_or_default(),
            candidate["inFlight"],
        );
        out.line("try", &facts);
    }
    out.0
}

/// Labelled lines.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, label: &str, text: &str) {
        let _ = writeln!(self.0, "{label:>8}  {text}");
    }
}

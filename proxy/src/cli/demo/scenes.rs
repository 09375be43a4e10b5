//! What the demo shows, scene by scene: each asks the edges as clients do, and holds what it sees against `expect`.

mod apply;
mod failover;
mod reload;

use anyhow::Context;
use http::{StatusCode, Version, header};

use super::client;
use super::expect::{BANK, Client, SERVED, WWW};
use super::fleet::CLUSTERS;
use super::screen::Screen;
use super::stage::Stage;
use crate::cli::explain;

/// How wide an explanation may be, and where a line of it goes on.
const COLUMNS: usize = 90;
const HANGING: usize = 21;

/// All of them.
pub(super) async fn play(stage: &mut Stage, screen: &mut Screen) -> anyhow::Result<()> {
    geography(stage, screen).await?;
    doors(stage, screen).await;
    explanation(stage, screen).await?;
    failover::play(stage, screen).await?;
    if stage.servers.is_empty() {
        Box::pin(reload::play(stage, screen)).await
    } else {
        Box::pin(apply::play(stage, screen)).await
    }
}

/// Who serves whom, at which edge.
async fn geography(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    screen.scene("Every edge serves every host, from the cloud that suits the client");
    let mut faults = Vec::new();
    for (host, rows) in SERVED {
        screen.line("");
        screen.line(&format!("{host:<32}{}", CLUSTERS.map(|home| format!("edge in {home:<8}")).concat()));
        let trust = if host == BANK { &stage.bank } else { &stage.devfest };
        let mut connections = Vec::new();
        for edge in stage.https() {
            connections.push(
                trust.connect(edge, host, Version::HTTP_11).await.with_context(|| format!("connecting to {edge} for {host}"))?,
            );
        }
        for (who, expected) in rows {
            let mut cells = Vec::new();
            for ((connection, expected), home) in connections.iter_mut().zip(expected).zip(CLUSTERS) {
                let seen = match connection.ask(host, who.address()).await {
                    Ok(answer) => answer.served_by_or_fenced(),
                    Err(error) => Err(format!("{error:#}")),
                };
                if seen.as_deref() != Ok(expected) {
                    let seen = seen.as_ref().unwrap_or_else(|failure| failure);
                    faults.push(format!("{host}, client in {who}, edge in {home}: expected {expected}, seen: {seen}"));
                }
                cells.push(format!("{:<16}", seen.as_deref().unwrap_or("FAILED")));
            }
            screen.line(&format!("  client in {:<20}{}", who.to_string(), cells.concat()));
        }
    }
    screen.line("");
    screen.expect("the response header causeway-served-by and the backend itself agree in every cell", faults);
    Ok(())
}

/// Certificates, protocols, redirects.
async fn doors(stage: &Stage, screen: &mut Screen) {
    let mut faults = Vec::new();
    for edge in &stage.edges {
        if stage.bank.connect(edge.https, WWW, Version::HTTP_11).await.is_ok() {
            faults.push(format!("the edge in {} showed bank-tls for {WWW}", edge.home));
        }
    }
    screen.expect("certificates go by SNI: those of devfest-tls and bank-tls, verified, each for its hosts only", faults);

    let mut faults = Vec::new();
    for edge in &stage.edges {
        let asked = async {
            let mut connection = stage.devfest.connect(edge.https, WWW, Version::HTTP_2).await?;
            connection.ask(WWW, Client::Germany.address()).await?.served_by().map_err(anyhow::Error::msg)
        };
        match asked.await {
            Ok(cluster) if cluster == "azure" => {}
            Ok(cluster) => faults.push(format!("over HTTP/2, the edge in {} let {cluster} serve Germany", edge.home)),
            Err(error) => faults.push(format!("over HTTP/2, the edge in {}: {error:#}", edge.home)),
        }
    }
    screen.expect("HTTP/2 by ALPN is served as HTTP/1.1 is", faults);

    let mut faults = Vec::new();
    for edge in &stage.edges {
        let asked = async { client::Connection::plain(edge.http).await?.get(WWW, "/a?b=c", None).await };
        let target = format!("https://{WWW}:{}/a?b=c", edge.https.port());
        match asked.await {
            Ok(response)
                if response.head.status == StatusCode::PERMANENT_REDIRECT
                    && response.head.headers.get(header::LOCATION).is_some_and(|l| l == &target) => {}
            Ok(response) => faults.push(format!("plain http at the edge in {}: {:?}", edge.home, response.head)),
            Err(error) => faults.push(format!("plain http at the edge in {}: {error:#}", edge.home)),
        }
    }
    screen.expect("plain http is sent to https, and nothing else", faults);
}

/// Why an edge decided as it did.
async fn explanation(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    let edge = &stage.edges[0];
    screen.scene(&format!("Why: the edge in {} explains a request from Germany", edge.home));
    let path = format!("/explain?url=https://{WWW}/&client={}", Client::Germany.address());
    let response = client::get(edge.admin, &path).await.context("asking the admin port")?;
    let explanation: serde_json::Value = serde_json::from_str(&response.body).context("reading an explanation")?;
    for line in explain::text(&explanation).lines() {
        for line in wrap(line, COLUMNS, HANGING) {
            screen.aside(&line);
        }
    }
    let picked = &explanation["decision"]["candidates"][0]["cluster"];
    let fault = (picked != "azure").then(|| format!("/explain would send a client in Germany to {picked}, expected azure"));
    screen.expect("the explanation names who really served", fault.into_iter().collect());
    Ok(())
}

/// Breaks a line at spaces; what follows the first break is indented by `hanging`.
fn wrap(line: &str, columns: usize, hanging: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split_inclusive(' ') {
        let current = lines.len() - 1;
        if lines[current].len() + word.trim_end().len() > columns && lines[current].len() > hanging {
            lines.push(" ".repeat(hanging));
        }
        let current = lines.len() - 1;
        lines[current].push_str(word);
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn long_lines_go_on_below_themselves() {
        assert_eq!(wrap("  a: one two three", 12, 5), ["  a: one two", "     three"]);
        assert_eq!(wrap("  a: short", 12, 5), ["  a: short"]);
        assert_eq!(wrap("  a: muchtoolongforit", 12, 5), ["  a: muchtoolongforit"], "a break would gain nothing");
    }
}

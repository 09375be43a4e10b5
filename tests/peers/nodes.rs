//! Edges that are found at the nodes of their cluster.

use std::fmt::Write as _;
use std::net::TcpListener;

use causeway_tests::fleet::until;
use causeway_tests::{Client, Origin};

use super::{AWS, AZURE, WWW, shop};

fn nodes(all: &[(&str, bool)]) -> String {
    let mut text = String::new();
    for (n, (address, ready)) in all.iter().enumerate() {
        let _ = writeln!(
            text,
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-{n}.internal}}\nstatus: {{addresses: [{{type: InternalIP, address: \
             {address}}}], conditions: [{{type: Ready, status: '{}'}}]}}",
            if *ready { "True" } else { "Unknown" }
        );
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_peers_a_clusters_edges_are_found_at_its_nodes() {
    let azure = Origin::named("azure").await;
    let mut fleet = shop([None, Some(&azure), None], "").await;
    let port = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().port();
    let at = |text: &str, address: &str| {
        text.replace("  peer: {bind: '127.0.0.1:0'}", &format!("  peer: {{bind: '{address}:{port}'}}"))
    };
    fleet.write("azure/nodes.yaml", nodes(&[("127.0.0.2", true), ("127.0.0.3", true), ("127.0.0.4", false)]));
    for address in ["127.0.0.2", "127.0.0.3"] {
        fleet.another(AZURE, |text| at(&text, address)).await;
    }
    let edge = fleet
        .another(AWS, |text| {
            let line = text.lines().find(|line| line.starts_with("  azure:")).unwrap();
            let without = format!("{}}}", &line[..line.find(", peers:").unwrap()]);
            at(&text.replace(line, &without), "127.0.0.5")
        })
        .await;
    let up = "causeway_peer_links{cluster=\"azure\",state=\"up\"}";
    until("both edges", async || fleet.metric(edge, up).await == 2.0).await;
    assert_eq!(Client::h1(fleet.https(edge), WWW).await.get(WWW, "/").await.text(), "azure");
    fleet.write("azure/nodes.yaml", nodes(&[("127.0.0.2", true), ("127.0.0.3", false)]));
    until("the one that is left", async || fleet.metric(edge, up).await == 1.0).await;
    assert_eq!(Client::h1(fleet.https(edge), WWW).await.get(WWW, "/").await.text(), "azure");
    fleet.remove("azure/nodes.yaml");
    fleet.until_admin_says(edge, "/diagnostics", "the edges of azure are not found: none of its nodes is known so far").await;
}

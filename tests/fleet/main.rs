//! Whole edges from files: what an operator changes, and what becomes of it. One binary, a module for each matter.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod certificates;
mod checks;
mod drain;
mod locations;
mod reach;
mod reload;
mod state;

use causeway_tests::fleet::{Fleet, configuration, ingress, service};
use causeway_tests::{Client, Origin};

const WWW: &str = "www.example.com";

/// A fleet that serves [`WWW`] from one origin in each cluster, by an Ingress in google alone.
async fn shop(more: &str, files: Vec<(&str, String)>) -> (Fleet, [Origin; 3]) {
    let origins = [Origin::named("aws").await, Origin::named("azure").await, Origin::named("google").await];
    let mut all = vec![
        ("causeway.yaml", configuration(more)),
        ("aws/web.yaml", service("shop/web", &[origins[0].address])),
        ("azure/web.yaml", service("shop/web", &[origins[1].address])),
        ("google/web.yaml", service("shop/web", &[origins[2].address])),
        ("google/ingress.yaml", ingress("shop/web", WWW, "web", "")),
    ];
    all.extend(files);
    let fleet = Fleet::start(&all).await;
    fleet.until_admin_says("/routes", WWW).await;
    assert!(fleet.app().readiness().ready().await);
    (fleet, origins)
}

/// Asks as a client from `from`; the status and the cluster that served.
async fn ask(fleet: &Fleet, host: &str, from: &str) -> (u16, String) {
    let mut client = Client::h1(fleet.https(), host).await;
    let response = client.request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {from}\r\n\r\n")).await;
    (response.status(), response.field("causeway-served-by").unwrap_or("nobody").to_owned())
}

//! Edges that reach each other's pods through each other. One binary, a module for each matter.
#![allow(clippy::unwrap_used, clippy::float_cmp)]

mod bad_input;
mod balancer;
mod crossing;
mod door;
mod failover;
mod nodes;
mod relay;
mod sessions;
mod siblings;
mod streams;
mod trust;
mod versions;

use causeway_tests::fleet::{ingress, service, until};
use causeway_tests::{Origin, Peered};

const WWW: &str = "www.example.com";

const AWS: usize = 0;
const AZURE: usize = 1;
const GOOGLE: usize = 2;

/// A fleet that serves [`WWW`] from one origin in each cluster that has one, by an Ingress in google alone.
async fn shop(origins: [Option<&Origin>; 3], more: &str) -> Peered {
    let mut files = vec![("google/ingress.yaml", ingress("shop/web", WWW, "web", ""))];
    for (path, origin) in ["aws/web.yaml", "azure/web.yaml", "google/web.yaml"].into_iter().zip(origins) {
        files.extend(origin.map(|origin| (path, service("shop/web", &[origin.address]))));
    }
    let fleet = Peered::start(&files, more).await;
    fleet.met().await;
    for edge in 0..3 {
        until("the route", async || fleet.admin(edge, "/routes").await.contains(WWW)).await;
    }
    fleet
}

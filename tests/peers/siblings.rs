//! Edges of one cluster, one of which cannot reach its API server.

use causeway_tests::fleet::{service, until};
use causeway_tests::origin::nobody;
use causeway_tests::{Client, Origin, Peered};

use super::{AWS, WWW, shop};

/// One more edge in aws, without a memory, whose API server does not answer, and which looks for others where `siblings` says.
async fn blind(fleet: &mut Peered, siblings: &str) -> usize {
    let server = nobody().await;
    let kubeconfig = format!(
        "{{apiVersion: v1, kind: Config, current-context: x, contexts: [{{name: x, context: {{cluster: x, user: x}}}}], clusters: \
         [{{name: x, cluster: {{server: 'https://{server}'}}}}], users: [{{name: x, user: {{token: t}}}}]}}"
    );
    fleet.write("kubeconfig", kubeconfig);
    let siblings = siblings.to_owned();
    let edit = move |text: String| {
        let text = text.replace("fleet: {", &format!("fleet: {{siblings: [{siblings}], "));
        text.replace("manifests: ../aws,", "kubeconfig: ../kubeconfig,") + "stateDir: off\n"
    };
    fleet.another(AWS, edit).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_starts_without_its_api_server_serves_what_another_of_its_cluster_knows() {
    let [first, second] = [Origin::named("first").await, Origin::named("second").await];
    let mut fleet = shop([Some(&first), None, None], "").await;
    let own = fleet.peer(AWS);
    // The second address is one where nobody listens.
    let edge = blind(&mut fleet, &format!("'{own}', '{}'", nobody().await)).await;
    until("the route", async || fleet.admin(edge, "/routes").await.contains(WWW)).await;
    let ask = async || Client::h1(fleet.https(edge), WWW).await.get(WWW, "/").await.text();
    assert_eq!(ask().await, "first");
    assert_eq!(fleet.metric(edge, "causeway_cluster_state{cluster=\"aws\",state=\"stale\"}").await, 1.0, "it is hearsay");
    // What changes there is followed.
    fleet.write("aws/web.yaml", service("shop/web", &[second.address]));
    until("the new pod", async || ask().await == "second").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_edge_knows_of_its_cluster_is_told_to_edges_of_that_cluster_only() {
    let aws = Origin::named("aws").await;
    let fleet = shop([Some(&aws), None, None], "").await;
    for (cluster, status, says) in [("aws", 200, true), ("azure", 403, false)] {
        let head = "GET /v1/state HTTP/1.1\r\nHost: x\r\n";
        let answer = super::door::ask(&fleet, AWS, cluster, head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(answer.contains("\"shop/web\""), says, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_no_other_edge_tells_anything_is_said() {
    let mut fleet = shop([None, None, None], "").await;
    let own = fleet.peer(AWS);
    let edge = blind(&mut fleet, &format!("'{own}'")).await;
    fleet.kill(AWS);
    fleet.until_admin_says(edge, "/diagnostics", "no other edge of this cluster tells what it knows").await;
}

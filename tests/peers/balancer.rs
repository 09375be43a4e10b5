//! Several edges of a cluster behind one address, as a load balancer has it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use causeway_tests::fleet::until;
use causeway_tests::{Client, Origin};
use tokio::net::{TcpListener, TcpStream};

use super::{AWS, AZURE, WWW, shop};

/// Passes each connection on to the next of the targets.
async fn balancer(targets: Arc<Mutex<Vec<SocketAddr>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let target = {
                let mut targets = targets.lock().unwrap();
                targets.rotate_left(1);
                targets[0]
            };
            tokio::spawn(async move {
                if let Ok(mut edge) = TcpStream::connect(target).await {
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut edge).await;
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edges_behind_one_address_are_told_apart_and_one_may_go() {
    let azure = Origin::named("azure").await;
    let mut fleet = shop([None, Some(&azure), None], "").await;
    let second = fleet.another(AZURE, |text| text).await;
    let targets = Arc::new(Mutex::new(vec![fleet.peer(AZURE), fleet.peer(second)]));
    let address = balancer(Arc::clone(&targets)).await;
    let text = std::fs::read_to_string(fleet.path("edge-aws/causeway.yaml")).unwrap();
    let line = text.lines().find(|line| line.starts_with("  azure:")).unwrap();
    let moved = format!("{}addresses: ['{address}']}}}}", &line[..line.find("addresses: [").unwrap()]);
    fleet.write("edge-aws/causeway.yaml", text.replace(line, &moved));
    let at_the_address = async || {
        let view: serde_json::Value = serde_json::from_str(&fleet.admin(AWS, "/snapshot").await).unwrap();
        let peers = view["peers"]["azure"].as_array().cloned().unwrap_or_default();
        let there = peers.iter().filter(|peer| peer["address"] == address.to_string() && peer["link"] == "up");
        there.map(|peer| peer["instance"].to_string()).collect::<HashSet<_>>().len()
    };
    until("both edges", async || at_the_address().await == 2).await;
    // One goes: the other serves, and no request is lost.
    targets.lock().unwrap().retain(|target| *target != fleet.peer(second));
    fleet.kill(second);
    for _ in 0..20 {
        assert_eq!(Client::h1(fleet.https(AWS), WWW).await.get(WWW, "/").await.status(), 200);
    }
}

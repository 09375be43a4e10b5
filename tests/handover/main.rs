//! One process takes the place of another: real processes, under load.
#![allow(clippy::unwrap_used)]

mod load;
mod peers;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use causeway_test_apiserver::ApiServer;
use causeway_tests::client::Resuming;
use causeway_tests::fleet::{ingress, service, until};
use causeway_tests::process::{EdgeProcess, command, get};
use causeway_tests::{Answer, Client, Origin};
use tempfile::TempDir;

use load::Load;

const PROGRAM: &str = env!("CARGO_BIN_EXE_edge-under-test");
const WWW: &str = "www.example.com";
const LISTEN: &str = "listen:\n  http: {bind: '127.0.0.1:0'}\n  https: {bind: '127.0.0.1:0'}\n  \
                      health: {bind: '127.0.0.1:0'}\n  admin: {bind: '127.0.0.1:0'}\n";

/// One machine of a fleet, where processes follow each other.
struct Machine {
    folder: TempDir,
    origin: Origin,
}

impl Machine {
    async fn new(handover: &str) -> Self {
        let origin = load::origin().await;
        let machine = Self { folder: tempfile::tempdir().unwrap(), origin };
        std::fs::create_dir(machine.path("aws")).unwrap();
        machine.write("aws/web.yaml", &service("shop/web", &[machine.origin.address]));
        machine.write("aws/ingress.yaml", &ingress("shop/web", WWW, "web", ""));
        machine.configure(handover);
        machine
    }

    fn configure(&self, handover: &str) {
        let clusters = "clusters:\n  aws: {location: us-east-1, manifests: ./aws, podCIDRs: [127.0.0.0/8], \
                        allowLoopbackEndpoints: true}\n  google: {location: asia-southeast1, kubeconfig: ./nowhere}\n";
        self.write(
            "causeway.yaml",
            &format!("{LISTEN}{clusters}stateDir: off\ndrain: {{timeout: 10m}}\nhandover: {{socket: ./h.sock{handover}}}\n"),
        );
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    async fn start(&self, instance: &str) -> EdgeProcess {
        let started = EdgeProcess::start(PROGRAM, &self.path("causeway.yaml"), "aws", instance).await;
        started.unwrap_or_else(|(status, log)| panic!("{status}\n{log}"))
    }

    /// Starts one and waits until it has the machine.
    async fn serving(&self, instance: &str) -> EdgeProcess {
        let process = self.start(instance).await;
        process.ready().await;
        process
    }
}

/// Whether the exec probe of an instance says ready.
async fn probe(machine: &Machine, health: std::net::SocketAddr, instance: &str) -> bool {
    let mut probe = command(PROGRAM, &["ready", "--health", &format!("http://{health}"), "--instance", instance]);
    probe.current_dir(machine.folder.path()).output().await.unwrap().status.success()
}

async fn upgrades(count: usize, h1: usize, h2: usize) {
    let machine = Machine::new("").await;
    let mut old = vec![machine.serving("i0").await];
    let addresses = old[0].addresses.clone();
    let returning = Resuming::default();
    assert!(!returning.visit(addresses.https[0], WWW).await);
    let load = Load::start(addresses.https[0], WWW, h1, h2);
    for n in 1..=count {
        load.pass(10).await;
        // It waits through the whole handover, at a process that has given everything away.
        let mut idle = Client::h1(addresses.https[0], WWW).await;
        assert_eq!(idle.get(WWW, "/").await.status(), 200);
        let new = machine.serving(&format!("i{n}")).await;
        assert_eq!(new.addresses.https, addresses.https);
        until("the old one's end to begin", async || old[n - 1].log().contains("leaving")).await;
        let last = idle.get(WWW, "/").await;
        assert_eq!((last.status(), last.field("connection")), (200, Some("close")), "upgrade {n}");
        assert!(returning.visit(addresses.https[0], WWW).await, "a session of the process before is resumed, upgrade {n}");
        assert!(probe(&machine, addresses.health[0], &new.instance).await);
        assert!(!probe(&machine, addresses.health[0], &old[n - 1].instance).await);
        old.push(new);
    }
    load.pass(10).await;
    let summary = load.end().await;
    println!("{count} upgrades: {summary}");
    assert_eq!((summary.failed, summary.refused), (0, 0), "{summary}");
    assert!(summary.sent > 100, "{summary}");
    let last = old.pop().unwrap();
    for mut process in old {
        let status = process.ended().await;
        assert!(status.success(), "{status}\n{}", process.log());
    }
    assert!(get(last.addresses.health[0], "/readyz").await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_upgrades_lose_nothing() {
    upgrades(2, 16, 2).await;
}

/// The issue's own figures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: `make handover` runs it"]
async fn ten_upgrades_in_a_row_lose_nothing() {
    upgrades(10, 64, 8).await;
}

/// Without `tls.ticketSecret` and `fleet.secret`, which would make it true of any two edges.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_resumes_sessions_and_knows_its_clients_places() {
    let machine = Machine::new("").await;
    let pods = [Origin::start(|_| Answer::ok("one")).await, Origin::start(|_| Answer::ok("two")).await];
    machine.write("aws/web.yaml", &service("shop/web", &pods.each_ref().map(|pod| pod.address)));
    let settled = std::fs::read_to_string(machine.path("causeway.yaml")).unwrap();
    machine.write("causeway.yaml", &format!("{settled}hosts: {{{WWW}: {{sessionPersistence: {{sessionName: place}}}}}}\n"));
    let old = machine.serving("old").await;
    let returning = Resuming::default();
    assert!(!returning.visit(old.addresses.https[0], WWW).await);
    let first = Client::h1(old.addresses.https[0], WWW).await.get(WWW, "/").await;
    let cookie = first.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let new = machine.serving("new").await;
    until("the old one's end to begin", async || old.log().contains("leaving")).await;
    assert!(returning.visit(new.addresses.https[0], WWW).await);
    let mut client = Client::h1(new.addresses.https[0], WWW).await;
    for _ in 0..20 {
        let again = client.request(&format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nCookie: {cookie}\r\n\r\n")).await;
        assert_eq!(again.text(), first.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_that_fails_to_start_leaves_the_old_one_serving() {
    let machine = Machine::new(", timeout: 500ms").await;
    let old = machine.serving("old").await;
    let config = machine.path("causeway.yaml");
    let mode = std::fs::metadata(machine.path("h.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A configuration that is none.
    std::fs::write(machine.path("bad.yaml"), "clusters: [").unwrap();
    let (status, log) = EdgeProcess::start(PROGRAM, &machine.path("bad.yaml"), "aws", "bad").await.unwrap_err();
    assert!(!status.success() && log.contains("bad.yaml"), "{status} {log}");
    // A home that never answers: it gives up in time, and says why.
    let mut late = EdgeProcess::start(PROGRAM, &config, "google", "late").await.unwrap();
    let status = late.ended().await;
    assert!(
        !status.success()
            && late.log().contains("not ready within 500ms (handover.timeout), still awaiting: certificates, home cluster"),
        "{status} {}",
        late.log()
    );
    // A crash half-way.
    machine.configure(", timeout: 10m");
    let crashed = EdgeProcess::start(PROGRAM, &config, "google", "crashed").await.unwrap();
    crashed.signal("KILL").await;
    drop(crashed);
    let mut client = Client::h1(old.addresses.https[0], WWW).await;
    assert_eq!(client.get(WWW, "/").await.status(), 200);
    assert!(probe(&machine, old.addresses.health[0], "old").await);
    assert!(!probe(&machine, old.addresses.health[0], "late").await);
    // And the next one that is good takes over.
    let new = machine.serving("new").await;
    until("the old one's end to begin", async || old.log().contains("leaving")).await;
    assert_eq!(client.get(WWW, "/").await.field("connection"), Some("close"));
    assert_eq!(new.addresses.https, old.addresses.https);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_end_a_process_that_was_succeeded_in_order() {
    let machine = Machine::new("").await;
    let mut old = machine.serving("old").await;
    let mut kept = Client::h1(old.addresses.https[0], WWW).await;
    assert_eq!(kept.request(&load::upgrade(WWW)).await.status(), 101);
    let _new = machine.serving("new").await;
    until("the old one's end to begin", async || old.log().contains("leaving")).await;
    // The one that every process gets: what is under way goes on.
    old.signal("TERM").await;
    until("the first to be taken note of", async || old.log().contains("already about to")).await;
    kept.send("still here").await;
    assert_eq!(kept.read(10).await, b"still here");
    old.signal("TERM").await;
    assert_eq!(old.ended().await.code(), Some(1));
}

/// However long the drain would take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_a_drain_at_once() {
    let machine = Machine::new("").await;
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let mut edge = machine.serving("only").await;
        let mut kept = Client::h1(edge.addresses.https[0], WWW).await;
        assert_eq!(kept.request(&load::upgrade(WWW)).await.status(), 101);
        edge.signal(first).await;
        until("the drain", async || edge.log().contains("leaving")).await;
        kept.send("still here").await;
        assert_eq!(kept.read(10).await, b"still here");
        edge.signal(second).await;
        assert_eq!(edge.ended().await.code(), Some(1), "{first}, {second}");
    }
}

/// Nothing of it could be learned anew: the API server is dark, and no state is on disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_serves_the_same_certificates_while_the_api_server_is_dark() {
    let machine = Machine::new("").await;
    let server = ApiServer::start(causeway_test_apiserver::Options::default()).await.unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let pair = causeway_certs::self_signed(&[WWW], now).unwrap();
    server.apply(&ingress("shop/web", WWW, "web", "  tls: [{hosts: [www.example.com], secretName: tls}]\n")).unwrap();
    let pem = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {ports: [{name: web, port: 80}]}\n";
    server.apply(service).unwrap();
    server
        .put(serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "shop", "name": "tls"}, "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": pem(&pair.cert), "tls.key": pem(&pair.key)},
        }))
        .unwrap();
    server.write_kubeconfig("aws", &machine.path("kubeconfig")).unwrap();
    machine.write(
        "causeway.yaml",
        &format!(
            "{LISTEN}clusters: {{aws: {{kubeconfig: ./kubeconfig, podCIDRs: [127.0.0.0/8], allowLoopbackEndpoints: true}}}}\n\
             stateDir: off\nhandover: {{socket: ./h.sock}}\n"
        ),
    );
    let old = machine.serving("old").await;
    let shown = async |process: &EdgeProcess| {
        let mut client = Client::h1(process.addresses.https[0], WWW).await;
        // A route without endpoints.
        assert_eq!(client.get(WWW, "/").await.status(), 503);
        client.certificate()
    };
    let certificate = shown(&old).await;
    server.stop();
    let new = machine.serving("new").await;
    assert_eq!(shown(&new).await, certificate);
    // For longer than a Secret that was asked for is waited for.
    until("the successor's own routes", async || get(new.addresses.admin[0], "/routes").await.unwrap().contains(WWW)).await;
    assert_eq!(shown(&new).await, certificate);
}

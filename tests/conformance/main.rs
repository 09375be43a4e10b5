//! What third parties wrote, against an edge: `make conformance` installs their programs and runs these tests, which are
//! left out of `make test` since a bare machine lacks them. CI runs both.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;

use causeway_certs::PemPair;
use causeway_config::TlsVersion;
use causeway_core::cluster::AppProtocol;
use causeway_tests::{Client, Edge, Origin, World};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const WWW: &str = "www.example.com";

/// Runs a program to its end; all that it wrote.
async fn run(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.expect("`make conformance` installs it");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Mozilla's profile of a TLS server, as sslyze checks it.
async fn sslyze(profile: &str, min: TlsVersion) {
    let origin = Origin::named("hello").await;
    let world = World::new().serve(WWW, &[origin.address]).with(|config| config.tls.min_version = min);
    // Mozilla asks for short lives, too.
    let mut params = rcgen::CertificateParams::new([WWW.to_owned()]).unwrap();
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::hours(1);
    params.not_after = params.not_before + time::Duration::days(47);
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap().pem().into_bytes();
    let edge = Edge::serving(&world, &[PemPair { cert, key: key.serialize_pem().into_bytes().into() }]);
    let target = edge.https.to_string();
    let (_, said) = run(Command::new("sslyze").args(["--mozilla_config", profile, "--sni", WWW, &target])).await;
    // That no authority vouches for a test's certificate is the one thing that it may find.
    let faults: Vec<_> = said.lines().filter(|line| line.trim_start().starts_with("* ") && line.contains(':')).collect();
    let of_profile = said.split("mozilla").last().unwrap_or_default();
    let only_trust = of_profile.matches("    * ").count() == 1 && of_profile.contains("* certificate_path_validation");
    assert!(said.contains("OK - Compliant") || only_trust, "{faults:?} in {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs sslyze: make conformance"]
async fn mozillas_intermediate_profile() {
    sslyze("intermediate", TlsVersion::V1_2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs sslyze: make conformance"]
async fn mozillas_modern_profile_without_tls_1_2() {
    sslyze("modern", TlsVersion::V1_3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs h2load: make conformance"]
async fn h2load_over_http2_and_http1() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    // Requests behind one another on a connection are what HTTP/2 is for: over HTTP/1.1 they are not served.
    for (protocol, at_once) in [("h2", "10"), ("http/1.1", "1")] {
        let connect = format!("--connect-to={}", edge.https);
        let list = format!("--npn-list={protocol}");
        let (passed, said) = run(Command::new("h2load")
            .args(["-n", "300", "-c", "3", "-m", at_once, &connect, &list])
            .arg(format!("https://{WWW}/")))
        .await;
        assert!(passed && said.contains("300 succeeded, 0 failed, 0 errored, 0 timeout"), "{protocol}: {said}");
    }
}

/// A script of this folder as the server behind an edge and as a client before it.
async fn both_ends(script: &str, protocol: AppProtocol) {
    let script = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/{}"), script);
    let mut server = Command::new("conformance-python");
    let mut server = server.args([&script, "server"]).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let address = lines.next_line().await.unwrap().unwrap();
    let edge = Edge::start(&World::new().route(WWW, "/", protocol, &[&[address.parse().unwrap()]]), &[&[WWW]]);
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("edge.der");
    std::fs::write(&certificate, Client::h1(edge.https, WWW).await.certificate()).unwrap();
    let mut client = Command::new("conformance-python");
    client.args([&script, "client"]).arg(edge.https.to_string()).arg(WWW).arg(&certificate);
    let (passed, said) = run(&mut client).await;
    assert!(passed && said.contains("all is well"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs grpcio: make conformance"]
async fn grpcio_client_and_server() {
    both_ends("grpc_check.py", AppProtocol::H2c).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs websockets: make conformance"]
async fn websockets_client_and_server() {
    both_ends("websocket_check.py", AppProtocol::Http).await;
}

//! Certificates from Secrets and files, and their renewal.

use std::fmt::Write as _;

use causeway_certs::{PemPair, self_signed};
use causeway_tests::fleet::{Fleet, ingress, service, until};
use causeway_tests::{Authority, Client};

use super::{WWW, shop};

const TLS: &str = "  tls: [{hosts: [www.example.com], secretName: cert}]\n";

fn pair(names: &[&str]) -> PemPair {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
    self_signed(names, now).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A Secret of `entries`, as `stringData`.
fn secret(kind: &str, entries: &[(&str, &[u8])]) -> String {
    let mut yaml =
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: shop}}\ntype: {kind}\nstringData:\n");
    for (name, bytes) in entries {
        let _ = writeln!(yaml, "  {name}: |");
        for line in text(bytes).lines() {
            let _ = writeln!(yaml, "    {line}");
        }
    }
    yaml
}

fn tls_secret(pair: &PemPair) -> String {
    secret("kubernetes.io/tls", &[("tls.crt", &pair.cert), ("tls.key", &pair.key)])
}

async fn shown(fleet: &Fleet, sni: &str) -> Vec<u8> {
    Client::h1(fleet.https(), sni).await.certificate().to_vec()
}

fn der(pair: &PemPair) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(&pair.cert).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opaque_secret_with_one_pair_serves_and_its_renewal_is_taken_while_connections_live() {
    let (first, second) = (pair(&[WWW]), pair(&[WWW]));
    let opaque = |pair: &PemPair| secret("Opaque", &[("www.example.com.crt", &pair.cert), ("www.example.com.key", &pair.key)]);
    let files = vec![("azure/tls.yaml", opaque(&first)), ("google/ingress.yaml", ingress("shop/web", WWW, "web", TLS))];
    let (fleet, _origins) = shop("", files).await;
    until("the certificate", async || shown(&fleet, WWW).await == der(&first)).await;
    let mut old = Client::h1(fleet.https(), WWW).await;
    fleet.write("azure/tls.yaml", opaque(&second));
    until("its renewal", async || shown(&fleet, WWW).await == der(&second)).await;
    assert_eq!(old.get(WWW, "/").await.status(), 200, "the connection from before lives on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_does_not_match_is_told_and_the_pair_before_serves_on() {
    let (good, other) = (pair(&[WWW]), pair(&[WWW]));
    let files = vec![("aws/tls.yaml", tls_secret(&good)), ("google/ingress.yaml", ingress("shop/web", WWW, "web", TLS))];
    let (fleet, _origins) = shop("", files).await;
    until("the certificate", async || shown(&fleet, WWW).await == der(&good)).await;
    fleet.write("aws/tls.yaml", secret("kubernetes.io/tls", &[("tls.crt", &good.cert), ("tls.key", &other.key)]));
    fleet.until_admin_says("/diagnostics", "the key does not belong to the certificate").await;
    assert!(fleet.admin("/diagnostics").await.contains("Secret aws:shop/cert"));
    assert_eq!(shown(&fleet, WWW).await, der(&good));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_answers_for_no_host_that_its_namespace_may_not_route() {
    let (bank, evil) = (pair(&["bank.example.com"]), pair(&["bank.example.com", "*.example.com"]));
    let evil_tls = "  tls: [{hosts: ['*.example.com', bank.example.com], secretName: cert}]\n";
    let bank_tls = "  tls: [{hosts: [bank.example.com], secretName: cert}]\n";
    let of_bank = tls_secret(&bank).replace("namespace: shop", "namespace: bank");
    let files = vec![
        ("azure/bank.yaml", ingress("bank/bank", "bank.example.com", "web", bank_tls)),
        ("azure/tls.yaml", of_bank),
        ("aws/evil.yaml", ingress("shop/evil", "'*.example.com'", "web", evil_tls)),
        ("aws/tls.yaml", tls_secret(&evil)),
    ];
    let more = "hosts: {bank.example.com: {owners: [azure/bank]}}\n";
    let (fleet, _origins) = shop(more, files).await;
    until("both certificates", async || {
        shown(&fleet, "other.example.com").await == der(&evil) && shown(&fleet, "bank.example.com").await == der(&bank)
    })
    .await;
    fleet.remove("azure/tls.yaml");
    until("the bank's end", async || shown(&fleet, "bank.example.com").await != der(&bank)).await;
    assert_ne!(shown(&fleet, "bank.example.com").await, der(&evil), "rather the default than a stranger's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_the_default_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let put = |pair: &PemPair, name: &str| {
        std::fs::write(path(&format!("{name}.key.new")), &*pair.key).unwrap();
        std::fs::write(path(&format!("{name}.crt.new")), &pair.cert).unwrap();
        std::fs::rename(path(&format!("{name}.key.new")), path(&format!("{name}.key"))).unwrap();
        std::fs::rename(path(&format!("{name}.crt.new")), path(&format!("{name}.crt"))).unwrap();
    };
    let (first, second, default) = (pair(&[WWW]), pair(&[WWW]), pair(&["default.example.com"]));
    put(&first, "www");
    put(&default, "default");
    let at = folder.path().display();
    let more = format!(
        "tls:\n  files: [{{cert: {at}/www.crt, key: {at}/www.key}}]\n  default: {{cert: {at}/default.crt, key: {at}/default.key}}\n"
    );
    let (fleet, _origins) = shop(&more, vec![]).await;
    assert_eq!(shown(&fleet, WWW).await, der(&first));
    assert_eq!(shown(&fleet, "unknown.example.com").await, der(&default));
    put(&second, "www");
    until("the renewal", async || shown(&fleet, WWW).await == der(&second)).await;
    std::fs::write(path("default.crt"), "half written").unwrap();
    fleet.until_admin_says("/diagnostics", "default.crt").await;
    assert_eq!(shown(&fleet, "unknown.example.com").await, der(&default), "the default before serves on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_reach_no_port_of_the_operators() {
    let pair = pair(&[WWW]);
    let files = vec![("aws/tls.yaml", tls_secret(&pair)), ("google/ingress.yaml", ingress("shop/web", WWW, "web", TLS))];
    let (fleet, _origins) = shop("", files).await;
    until("the certificate", async || shown(&fleet, WWW).await == der(&pair)).await;
    let secrets: Vec<&str> = text(&pair.key).lines().filter(|line| line.len() > 20 && !line.contains("PRIVATE KEY")).collect();
    assert!(!secrets.is_empty());
    for path in ["/", "/metrics", "/routes", "/snapshot", "/diagnostics", "/config", "/explain?url=https://www.example.com/"] {
        let said = fleet.admin(path).await;
        assert!(said.len() > 2, "{path} answers");
        assert!(!secrets.iter().any(|secret| said.contains(secret)), "{path}");
    }
}

/// From the annotation to the connection, and every way for it to go wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_of_backends_are_followed_and_their_absence_is_told() {
    let pair = pair(&["web.shop.svc"]);
    let origin = causeway_tests::Origin::named("hello").await;
    let world = causeway_tests::World::new().serve(WWW, &[origin.address]);
    let backend = causeway_tests::Edge::serving(&world, std::slice::from_ref(&pair));
    let annotated = |more: &str| {
        let annotations = format!("annotations: {{causeway.dev/backend-hostname: web.shop.svc, {more}}}");
        let service = service("shop/secure", &[backend.https]).replace("name: web, port: 80}", "name: https, port: 80}");
        let service = service.replace("name: web, port", "name: https, port");
        service.replacen("namespace: shop}", &format!("namespace: shop, {annotations}}}"), 1)
    };
    let map = |pem: &[u8]| {
        let mut yaml =
            String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca, namespace: shop}\ndata:\n  ca.crt: |\n");
        for line in text(pem).lines() {
            let _ = writeln!(yaml, "    {line}");
        }
        yaml
    };
    let by_map = annotated("causeway.dev/backend-ca-configmap: ca");
    let files = vec![("aws/secure.yaml", by_map.clone()), ("aws/ingress.yaml", ingress("shop/secure", WWW, "secure", ""))];
    let (fleet, _origins) = shop("", files).await;
    let status = async || Client::h1(fleet.https(), WWW).await.get(WWW, "/").await.status();
    assert_eq!(status().await, 503);
    fleet.until_admin_says("/diagnostics", "ConfigMap shop/ca cannot vouch for its backends").await;
    fleet.write("aws/ca.yaml", map(&pair.cert));
    until("the backend to be believed", async || status().await == 200).await;
    fleet.write("aws/ca.yaml", map(b"nonsense"));
    until("the backend to be believed no more", async || status().await == 503).await;
    fleet.until_admin_says("/diagnostics", "causeway.dev/backend-ca-configmap").await;
    fleet.write("aws/secure.yaml", annotated("causeway.dev/backend-ca-secret: cert"));
    fleet.write("aws/cert.yaml", secret("Opaque", &[("ca.crt", &pair.cert)]));
    until("the backend to be believed again", async || status().await == 200).await;
    let said = fleet.admin("/diagnostics").await;
    assert!(!said.contains("backend-ca"), "{said}");
}

/// Only the home cluster says who may come in, whatever other clusters have under that name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_of_clients_are_the_home_clusters() {
    let authority = Authority::new();
    let (cert, key) = authority.client("alice");
    let authorities = secret("Opaque", &[("ca.crt", authority.pem.as_bytes())]);
    let more = "hosts: {www.example.com: {clientCertificates: {secret: shop/cert}}}\n";
    let (fleet, _origins) = shop(more, vec![("azure/ca.yaml", authorities.clone())]).await;
    let comes_in = async || match Client::with_certificate(fleet.https(), WWW, &cert, &key).await {
        Err(_) => false,
        Ok(mut client) => client.try_request(&format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await.is_ok(),
    };
    fleet.until_admin_says("/diagnostics", "hosts.www.example.com.clientCertificates").await;
    assert!(!comes_in().await);
    fleet.write("aws/ca.yaml", authorities);
    until("the client to come in", async || comes_in().await).await;
    fleet.remove("aws/ca.yaml");
    until("nobody to come in", async || !comes_in().await).await;
}

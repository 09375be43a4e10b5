//! An edge that says that it is ready is.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use causeway::app::{App, Options};
use causeway::readiness::NotReady;
use causeway_certs::{PemPair, self_signed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const HOST: &str = "shop.example.com";

/// How often readiness is looked at.
const LOOK: Duration = Duration::from_millis(5);

fn write_fleet(folder: &Path) {
    let config = "listen:\n  \
                    http: {bind: \"127.0.0.1:0\"}\n  https: {bind: \"127.0.0.1:0\"}\n  \
                    health: {bind: \"127.0.0.1:0\"}\n  admin: {bind: \"127.0.0.1:0\"}\n\
                  clusters:\n  aws: {location: us-east-1, manifests: ./aws}\n";
    let ingress = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{namespace: shop, name: web}}\nspec:\n  \
           ingressClassName: causeway\n  tls: [{{hosts: [{HOST}], secretName: web-tls}}]\n  \
           rules:\n    - host: {HOST}\n      http:\n        paths:\n          \
             - {{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}\n"
    );
    std::fs::create_dir(folder.join("aws")).unwrap();
    std::fs::write(folder.join("causeway.yaml"), config).unwrap();
    std::fs::write(folder.join("aws/ingress.yaml"), ingress).unwrap();
}

fn write_secret(folder: &Path, pair: &PemPair) {
    let indented = |pem: &[u8]| String::from_utf8_lossy(pem).trim_end().replace('\n', "\n    ");
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{namespace: shop, name: web-tls}}\ntype: kubernetes.io/tls\nstringData:\n  \
           tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        indented(&pair.cert),
        indented(&pair.key)
    );
    std::fs::write(folder.join("aws/secret.yaml"), secret).unwrap();
}

/// Routes are known a moment before the Secrets that they name: whoever came in between was shown the self-signed default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_client_after_readiness_sees_the_secrets_certificate() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let pair = self_signed(&[HOST], now).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_fleet(folder.path());
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pair.cert).unwrap()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let app = App::start(Options { config: folder.path().join("causeway.yaml"), home: "aws".into() }).unwrap();
    let readiness = app.readiness();
    while matches!(readiness.check(), Err(NotReady::Awaiting(parts)) if parts.contains(&"home cluster")) {
        tokio::time::sleep(LOOK).await;
    }
    // Others may be awaited besides, for a moment.
    let Err(NotReady::Awaiting(parts)) = readiness.check() else { panic!("ready without its certificates") };
    assert!(parts.contains(&"certificates"), "{parts:?}");
    write_secret(folder.path(), &pair);
    let ready = tokio::time::timeout(Duration::from_secs(30), readiness.ready()).await;
    assert!(ready.unwrap());

    let stream = TcpStream::connect(app.addresses().https[0]).await.unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_never_comes_keeps_no_edge_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    write_fleet(folder.path());
    let app = App::start(Options { config: folder.path().join("causeway.yaml"), home: "aws".into() }).unwrap();
    let ready = tokio::time::timeout(Duration::from_secs(30), app.readiness().ready()).await;
    assert!(ready.unwrap());
}

/// A backend could prove itself to nobody until then, and its first clients would be told 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_waits_for_the_authorities_that_its_services_name() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let folder = tempfile::tempdir().unwrap();
    write_fleet(folder.path());
    let ingress = folder.path().join("aws/ingress.yaml");
    let text = std::fs::read_to_string(&ingress).unwrap();
    let text = text.lines().filter(|line| !line.contains("secretName")).collect::<Vec<_>>().join("\n");
    std::fs::write(ingress, text).unwrap();
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  namespace: shop\n  name: web\n  \
                     annotations: {causeway.dev/backend-ca-configmap: ca}\n\
                   spec: {ports: [{port: 80, appProtocol: https}]}\n";
    std::fs::write(folder.path().join("aws/service.yaml"), service).unwrap();
    let app = App::start(Options { config: folder.path().join("causeway.yaml"), home: "aws".into() }).unwrap();
    let readiness = app.readiness();
    while matches!(readiness.check(), Err(NotReady::Awaiting(parts)) if parts.contains(&"home cluster")) {
        tokio::time::sleep(LOOK).await;
    }
    let Err(NotReady::Awaiting(parts)) = readiness.check() else { panic!("ready without its authorities") };
    assert!(parts.contains(&"certificates"), "{parts:?}");
    let cert = String::from_utf8(self_signed(&[HOST], now).unwrap().cert).unwrap();
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{namespace: shop, name: ca}}\ndata:\n  ca.crt: |\n    {}\n",
        cert.trim_end().replace('\n', "\n    ")
    );
    std::fs::write(folder.path().join("aws/ca.yaml"), map).unwrap();
    let ready = tokio::time::timeout(Duration::from_secs(30), readiness.ready()).await;
    assert!(ready.unwrap());
}

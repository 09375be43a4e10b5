//! Mutual TLS with clients: who comes in, and what backends are told of them.

use causeway_config::{ClientCertificates, HostPolicy};
use causeway_tests::{Client, Edge, Origin, World};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

const WWW: &str = "www.example.com";
const PARTNERS: &str = "partners.example.com";

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A client's certificate and key.
    fn client(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A host for partners beside one for everybody.
fn setup(origin: &Origin, authority: &Authority, optional: bool) -> (tempfile::TempDir, Edge) {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, &authority.pem).unwrap();
    let policy = HostPolicy { client_certificates: Some(ClientCertificates { ca, optional }), ..HostPolicy::default() };
    let world = World::new()
        .serve(WWW, &[origin.address])
        .serve(PARTNERS, &[origin.address])
        .with(|config| drop(config.hosts.insert(PARTNERS.parse().unwrap(), policy)));
    (folder, Edge::start(&world, &[&[WWW, PARTNERS]]))
}

/// Whether somebody without a certificate gets an answer. TLS 1.3 refuses him only after his handshake.
async fn a_stranger_is_served(edge: &Edge) -> bool {
    let Ok(mut client) = Client::try_connect(edge.https, Some(PARTNERS), "http/1.1").await else { return false };
    client.send(format!("GET / HTTP/1.1\r\nHost: {PARTNERS}\r\nConnection: close\r\n\r\n")).await;
    !client.read_to_end().await.is_empty()
}

#[tokio::test]
async fn only_who_has_a_certificate_of_the_authority_comes_in_and_backends_learn_who_it_is() {
    let (origin, authority) = (Origin::named("hello").await, Authority::new());
    let (_folder, edge) = setup(&origin, &authority, false);
    let (cert, key) = authority.client("alice \"the first\"");
    let mut client = Client::with_certificate(edge.https, PARTNERS, &cert, &key).await.unwrap();
    let spoofed = "X-Forwarded-Client-Cert: Subject=\"CN=root\"\r\nSSL-Client-S-DN: CN=root\r\nClient-Cert: :abc=:\r\n\
                   X_Forwarded_Client_Cert: Subject=\"CN=root\"\r\n";
    let response = client.request(&format!("GET / HTTP/1.1\r\nHost: {PARTNERS}\r\n{spoofed}\r\n")).await;
    assert_eq!(response.status(), 200);
    let request = &origin.requests()[0];
    let told: Vec<_> = request.fields("x-forwarded-client-cert").collect();
    assert_eq!(told.len(), 1, "{}", request.head);
    assert!(told[0].starts_with("Hash=") && told[0].contains(r#"Subject="CN=alice \"the first\"""#), "{}", told[0]);
    assert!(!request.head.contains("root") && request.field("client-cert").is_none(), "{}", request.head);

    assert!(!a_stranger_is_served(&edge).await);
    let (cert, key) = Authority::new().client("mallory");
    let refused = match Client::with_certificate(edge.https, PARTNERS, &cert, &key).await {
        Err(_) => true,
        Ok(mut client) => client.read_to_end().await.is_empty(),
    };
    assert!(refused);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_connection_for_another_host_is_no_way_around() {
    let (origin, authority) = (Origin::named("hello").await, Authority::new());
    let (_folder, edge) = setup(&origin, &authority, false);
    assert_eq!(Client::h1(edge.https, WWW).await.get(PARTNERS, "/").await.status(), 421);
    let (cert, key) = authority.client("alice");
    let mut client = Client::with_certificate(edge.https, PARTNERS, &cert, &key).await.unwrap();
    assert_eq!(client.get(WWW, "/").await.status(), 421);
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn where_certificates_are_optional_strangers_come_in_as_strangers() {
    let (origin, authority) = (Origin::named("hello").await, Authority::new());
    let (_folder, edge) = setup(&origin, &authority, true);
    assert!(a_stranger_is_served(&edge).await);
    assert_eq!(origin.requests()[0].field("x-forwarded-client-cert"), None);
    let (cert, key) = authority.client("alice");
    let mut client = Client::with_certificate(edge.https, PARTNERS, &cert, &key).await.unwrap();
    assert_eq!(client.get(PARTNERS, "/").await.status(), 200);
    assert!(origin.requests()[1].field("x-forwarded-client-cert").unwrap().contains("CN=alice"));
}

#[tokio::test]
async fn authorities_that_cannot_be_read_let_nobody_in() {
    let (origin, authority) = (Origin::named("hello").await, Authority::new());
    let (folder, edge) = setup(&origin, &authority, false);
    std::fs::remove_file(folder.path().join("ca.crt")).unwrap();
    let (cert, key) = authority.client("alice");
    assert!(Client::with_certificate(edge.https, PARTNERS, &cert, &key).await.is_err());
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.status(), 200);
}

//! Mutual TLS with clients: who comes in, and what backends are told of them.

use causeway::authorities::{Authorities, ClientCas};
use causeway_config::{CaRef, ClientCa, ClientCertificates, HostPolicy, ObjectName};
use causeway_tests::{Authority, Client, Edge, Origin, World};

const WWW: &str = "www.example.com";
const PARTNERS: &str = "partners.example.com";

/// A host for partners beside one for everybody.
fn setup(origin: &Origin, authority: &Authority, optional: bool) -> (tempfile::TempDir, Edge) {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, &authority.pem).unwrap();
    let policy = HostPolicy {
        client_certificates: Some(ClientCertificates { ca: ClientCa::File(ca), optional }),
        ..HostPolicy::default()
    };
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

#[tokio::test]
async fn authorities_of_an_object_are_those_of_the_moment_and_without_them_nobody_comes_in() {
    let (origin, ours, theirs) = (Origin::named("hello").await, Authority::new(), Authority::new());
    let object = CaRef::ConfigMap(ObjectName::new("pki", "partners"));
    let settings = ClientCertificates { ca: ClientCa::Object(object.clone()), optional: false };
    let policy = HostPolicy { client_certificates: Some(settings), ..HostPolicy::default() };
    let world = World::new()
        .serve(WWW, &[origin.address])
        .serve(PARTNERS, &[origin.address])
        .with(|config| drop(config.hosts.insert(PARTNERS.parse().unwrap(), policy)));
    let edge = Edge::start(&world, &[&[WWW, PARTNERS]]);
    let (cert, key) = ours.client("alice");
    let comes_in = async || match Client::with_certificate(edge.https, PARTNERS, &cert, &key).await {
        Err(_) => false,
        Ok(mut client) => {
            client.send(format!("GET / HTTP/1.1\r\nHost: {PARTNERS}\r\nConnection: close\r\n\r\n")).await;
            client.read_to_end().await.starts_with(b"HTTP/1.1 200 ")
        }
    };
    let publish = |authority: Option<&Authority>| {
        let of = |authority: &Authority| ClientCas::from_pem(authority.pem.as_bytes()).unwrap();
        let clients = authority.map(|authority| (object.clone(), of(authority))).into_iter().collect();
        edge.authorities.store(std::sync::Arc::new(Authorities { clients, ..Authorities::default() }));
    };
    assert!(!comes_in().await, "it is not there yet");
    publish(Some(&ours));
    assert!(comes_in().await);
    publish(Some(&theirs));
    assert!(!comes_in().await, "it holds others now");
    publish(None);
    assert!(!comes_in().await, "it is gone");
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.status(), 200);
}

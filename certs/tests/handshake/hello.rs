//! The first message of a TLS 1.2 client, written by hand, for cipher suites that no modern library offers.

use causeway_certs::{CertIndex, server_config_for};
use causeway_config::TlsVersion;
use rustls::AlertDescription;
use rustls::server::Acceptor;

/// The first record that the edge sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// With the suite that it chose.
    ServerHello(u16),
    Alert(AlertDescription),
}

/// What an edge with `index` answers a client that knows only these suites, and speaks for `a.example.com`.
pub(crate) fn answer(index: &CertIndex, suites: &[u16]) -> Answer {
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut client_hello(suites).as_slice()).unwrap();
    let accepted = acceptor.accept().unwrap().expect("the whole hello was read");
    let (config, _) = server_config_for(index, accepted.client_hello().server_name(), TlsVersion::V1_2);
    let mut wire = Vec::new();
    match accepted.into_connection(config) {
        Ok(mut server) => drop(server.write_tls(&mut wire).unwrap()),
        Err((_, mut alert)) => alert.write_all(&mut wire).unwrap(),
    }
    // A record (RFC 5246 section 6.2.1): type, version (2), length (2), then the message.
    match wire[0] {
        21 => Answer::Alert(AlertDescription::from(wire[6])),
        22 => {
            assert_eq!(wire[5], 2, "a ServerHello: type, length (3), version (2), random (32), session id (1 + n), suite (2)");
            let suite = 5 + 4 + 2 + 32 + 1 + usize::from(wire[5 + 4 + 2 + 32]);
            Answer::ServerHello(u16::from_be_bytes([wire[suite], wire[suite + 1]]))
        }
        other => panic!("a record of type {other}"),
    }
}

/// RFC 5246 section 7.4.1.2, in one record.
fn client_hello(suites: &[u16]) -> Vec<u8> {
    let server_name = counted(&[&[0][..], &counted(b"a.example.com")].concat());
    let extensions = [
        extension(0, &server_name),
        // supported_groups: secp256r1
        extension(10, &counted(&[0x00, 0x17])),
        // ec_point_formats: uncompressed
        extension(11, &[1, 0]),
        // signature_algorithms: ecdsa_secp256r1_sha256, rsa_pkcs1_sha256
        extension(13, &counted(&[0x04, 0x03, 0x04, 0x01])),
    ]
    .concat();
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let body = [&[3, 3][..], &[7; 32], &[0], &counted(&suites), &[1, 0], &counted(&extensions)].concat();
    let message = [&[1, 0][..], &counted(&body)].concat();
    [&[22, 3, 1][..], &counted(&message)].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &counted(body)].concat()
}

/// A vector with its length in two bytes before it.
fn counted(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

#![allow(clippy::unwrap_used)]
use std::time::Duration;

use super::*;
use crate::PemPair;
use crate::fleet_ca::{authority, issue};
use crate::testing::{DAY, NOW};

fn id(name: &str) -> ClusterId {
    name.parse().unwrap()
}

fn at(unix: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(unix.cast_unsigned()))
}

fn edge(ca: &PemPair, cluster: &str) -> PemPair {
    issue(ca, "shop", &id(cluster), NOW, 30).unwrap()
}

fn trust(authorities: &[&PemPair], own: &PemPair, revoked: &[CertificateId]) -> Arc<FleetTrust> {
    let ca: Vec<u8> = authorities.iter().flat_map(|ca| ca.cert.clone()).collect();
    Arc::new(FleetTrust::read("shop", FleetFiles { ca: &ca, cert: &own.cert, key: &own.key }, revoked).unwrap())
}

fn chain_of(pair: &PemPair) -> Vec<CertificateDer<'static>> {
    pem::chain(&pair.cert).unwrap()
}

#[test]
fn an_edge_of_the_fleet_is_known_by_its_cluster() {
    let ca = authority("shop", NOW).unwrap();
    let trust = trust(&[&ca], &edge(&ca, "aws"), &[]);
    assert_eq!(trust.identify(&chain_of(&edge(&ca, "azure")), at(NOW)), Ok(id("azure")));
    assert_eq!(trust.faults(&id("aws"), at(NOW)), None);
    assert!(trust.faults(&id("google"), at(NOW)).unwrap().to_string().contains("that of the edges in aws"));
}

#[test]
fn ten_minutes_of_clock_skew_harm_nothing() {
    let ca = authority("shop", NOW).unwrap();
    let trust = trust(&[&ca], &edge(&ca, "aws"), &[]);
    let fresh = chain_of(&edge(&ca, "azure"));
    for skew in [-600, 600] {
        assert_eq!(trust.identify(&fresh, at(NOW + skew)), Ok(id("azure")), "{skew} s");
    }
}

#[test]
fn what_is_wrong_is_told_apart() {
    let (ca, other) = (authority("shop", NOW).unwrap(), authority("shop", NOW).unwrap());
    let trust = trust(&[&ca], &edge(&ca, "aws"), &[]);
    let azure = chain_of(&edge(&ca, "azure"));
    assert_eq!(trust.identify(&azure, at(NOW + 31 * DAY)), Err(TrustError::Expired));
    assert_eq!(trust.identify(&azure, at(NOW - DAY)), Err(TrustError::NotYetValid));
    assert_eq!(trust.identify(&chain_of(&edge(&other, "azure")), at(NOW)), Err(TrustError::WrongAuthority));
    let foreign = issue(&ca, "bazaar", &id("azure"), NOW, 30).unwrap();
    assert!(matches!(trust.identify(&chain_of(&foreign), at(NOW)), Err(TrustError::NoIdentity(_))));
    assert_eq!(trust.identify(&[], at(NOW)), Err(TrustError::WrongAuthority));
}

#[test]
fn with_two_authorities_the_edges_of_both_are_known() {
    let (old, new) = (authority("shop", NOW).unwrap(), authority("shop", NOW).unwrap());
    let both = trust(&[&old, &new], &edge(&new, "aws"), &[]);
    for ca in [&old, &new] {
        assert_eq!(both.identify(&chain_of(&edge(ca, "azure")), at(NOW)), Ok(id("azure")));
    }
    let after = trust(&[&new], &edge(&new, "aws"), &[]);
    assert_eq!(after.identify(&chain_of(&edge(&old, "azure")), at(NOW)), Err(TrustError::WrongAuthority));
    assert_ne!(both.hash(), after.hash());
}

#[test]
fn the_revoked_are_refused_by_serial_and_by_fingerprint() {
    let ca = authority("shop", NOW).unwrap();
    let own = edge(&ca, "aws");
    let azure = chain_of(&edge(&ca, "azure"));
    let parsed = chain::parse(&azure[0], 1).unwrap();
    let serial: CertificateId = parsed.raw_serial_as_string().parse().unwrap();
    let fingerprint: CertificateId = Fingerprint(Sha256::digest(&azure[0]).into()).to_string().parse().unwrap();
    for revoked in [serial, fingerprint] {
        let trust = trust(&[&ca], &own, std::slice::from_ref(&revoked));
        assert_eq!(trust.identify(&azure, at(NOW)), Err(TrustError::Revoked), "{revoked}");
        assert_eq!(trust.identify(&chain_of(&edge(&ca, "google")), at(NOW)), Ok(id("google")));
    }
}

#[test]
fn a_pair_that_is_none_is_refused() {
    let ca = authority("shop", NOW).unwrap();
    let (one, other) = (edge(&ca, "aws"), edge(&ca, "aws"));
    let files = FleetFiles { ca: &ca.cert, cert: &one.cert, key: &other.key };
    assert_eq!(FleetTrust::read("shop", files, &[]).unwrap_err(), CertError::Mismatch);
}

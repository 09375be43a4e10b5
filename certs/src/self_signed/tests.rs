#![allow(clippy::unwrap_used)]

use super::*;
use crate::chain;
use crate::testing::*;

const HOUR: i64 = 60 * 60;

#[test]
fn the_default_certificate_is_for_nobody_and_lives_a_year() {
    let certificate = default_certificate(tls(), NOW).unwrap();
    let names: Vec<_> = certificate.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["causeway.invalid"]);
    assert_eq!(certificate.validity().not_before, NOW - HOUR);
    assert_eq!(certificate.validity().not_after, NOW - HOUR + 365 * DAY);

    let leaf = chain::parse(&certificate.certified_key().cert[0], 1).unwrap();
    assert_eq!(leaf.subject().to_string(), "CN=Causeway default certificate");
}

#[test]
fn no_two_share_a_serial_number() {
    let [a, b] = [(); 2].map(|()| default_certificate(tls(), NOW).unwrap());
    let serial = |c: &Certificate| chain::parse(&c.certified_key().cert[0], 1).unwrap().serial.clone();
    assert_ne!(serial(&a), serial(&b));
    assert!(serial(&a).bits() > 64, "{}", serial(&a));
}

#[test]
fn a_self_signed_certificate_covers_the_names_given() {
    let certificate = read(&self_signed(&["a.example.com", "*.b.example.com", "127.0.0.1"], NOW).unwrap());
    for host in ["a.example.com", "x.b.example.com", "127.0.0.1"] {
        assert!(certificate.covers(host), "{host}");
    }
}

#[test]
fn a_clock_or_name_out_of_range_is_an_error() {
    assert!(matches!(self_signed(&["a.example.com"], i64::MAX), Err(CertError::NotMade { .. })));
    assert!(matches!(self_signed(&["bücher.example"], NOW), Err(CertError::NotMade { .. })));
}

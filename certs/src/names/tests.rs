#![allow(clippy::unwrap_used)]

use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use crate::testing::*;

/// The names of a certificate with these parameters, as text.
fn names(params: &CertificateParams) -> Vec<String> {
    read(&signed(params, &KeyPair::generate().unwrap())).names().iter().map(ToString::to_string).collect()
}

#[test]
fn names_are_lower_case_sorted_and_each_once() {
    assert_eq!(
        names(&params(&["B.Example.com", "*.example.com", "b.example.com", "a.example.com"])),
        ["a.example.com", "b.example.com", "*.example.com"]
    );
}

#[test]
fn the_common_name_counts_only_without_alternative_names() {
    let mut with = params(&["a.example.com"]);
    with.distinguished_name.push(DnType::CommonName, "cn.example.com");
    assert_eq!(names(&with), ["a.example.com"]);

    let mut without = params(&[]);
    without.distinguished_name.push(DnType::CommonName, "cn.example.com");
    assert_eq!(names(&without), ["cn.example.com"]);

    let mut address_only = params(&["192.0.2.1"]);
    address_only.distinguished_name.push(DnType::CommonName, "cn.example.com");
    assert!(names(&address_only).is_empty());

    let mut mail_only = params(&[]);
    mail_only.distinguished_name.push(DnType::CommonName, "cn.example.com");
    mail_only.subject_alt_names = vec![SanType::Rfc822Name("root@example.com".try_into().unwrap())];
    assert_eq!(names(&mail_only), ["cn.example.com"]);
}

#[test]
fn names_that_no_client_can_ask_for_are_passed_over() {
    let mut odd = params(&["a.example.com"]);
    for name in ["*", "*.*.example.com", "w*.example.com", "a b.example.com", "192.0.2.1", "", "*."] {
        odd.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
    }
    odd.distinguished_name.push(DnType::CommonName, "cn.example.com");
    assert_eq!(names(&odd), ["a.example.com"]);
}

#[test]
fn a_wildcard_covers_exactly_one_label() {
    let wildcard = cert(&["*.example.com"]);
    assert!(wildcard.covers("a.example.com"));
    assert!(!wildcard.covers("example.com"));
    assert!(!wildcard.covers("a.b.example.com"));
    assert!(!wildcard.covers(".example.com"));
    assert!(!wildcard.covers("aexample.com"));
}

#[test]
fn case_and_a_trailing_dot_make_no_difference() {
    let certificate = cert(&["a.example.com", "*.example.org"]);
    for host in ["A.Example.COM", "a.example.com.", "X.EXAMPLE.ORG."] {
        assert!(certificate.covers(host), "{host}");
    }
    for host in ["", ".", "..", "a.example.com.."] {
        assert!(!certificate.covers(host), "{host}");
    }
}

#[test]
fn an_address_needs_an_address_among_the_names() {
    let certificate = cert(&["192.0.2.1", "2001:db8::1", "*.2.1", "*.0.2.7"]);
    for host in ["192.0.2.1", "2001:db8::1", "[2001:DB8:0::1]"] {
        assert!(certificate.covers(host), "{host}");
    }
    for host in ["192.0.2.2", "192.0.2.7", "::1"] {
        assert!(!certificate.covers(host), "{host}");
    }
}

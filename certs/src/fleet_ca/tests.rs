#![allow(clippy::unwrap_used)]
use x509_parser::extensions::GeneralName;

use super::*;
use crate::chain::parse;
use crate::testing::{DAY, NOW};

fn azure() -> ClusterId {
    "azure".parse().unwrap()
}

#[test]
fn an_edge_carries_its_cluster_as_a_name_and_as_a_uri_and_is_valid_an_hour_ago() {
    let ca = authority("shop", NOW).unwrap();
    let edge = issue(&ca, "shop", &azure(), NOW, EDGE_DAYS).unwrap();
    let der = pem::chain(&edge.cert).unwrap().remove(0);
    let leaf = parse(&der, 1).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        names.value.general_names,
        [GeneralName::DNSName("azure.shop.causeway.internal"), GeneralName::URI("spiffe://shop.causeway.internal/cluster/azure")]
    );
    assert_eq!(leaf.validity().not_before.timestamp(), NOW - 3600);
    assert_eq!(leaf.validity().not_after.timestamp(), NOW + 365 * DAY);
    assert!(!leaf.is_ca());
}

#[test]
fn an_authority_signs_edges_and_no_other_authority() {
    let ca = authority("shop", NOW).unwrap();
    let der = pem::chain(&ca.cert).unwrap().remove(0);
    let parsed = parse(&der, 1).unwrap();
    let constraints = parsed.basic_constraints().unwrap().unwrap().value;
    assert_eq!((constraints.ca, constraints.path_len_constraint), (true, Some(0)));
}

#[test]
fn the_key_of_another_authority_signs_nothing() {
    let (one, other) = (authority("shop", NOW).unwrap(), authority("shop", NOW).unwrap());
    let mixed = PemPair { cert: one.cert, key: other.key };
    assert_eq!(issue(&mixed, "shop", &azure(), NOW, 1).unwrap_err(), CertError::Mismatch);
}

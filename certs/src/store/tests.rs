#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::*;
use crate::certificate::Certificate;
use crate::index::{Allowed, DefaultOffer, Offer};
use crate::testing::*;

fn index(default: &Arc<Certificate>, offered: &[Arc<Certificate>]) -> CertIndex {
    let offers = offered.iter().map(|certificate| Offer {
        source: "a".into(),
        rank: 0,
        hosts: Allowed::Any,
        except: Vec::new(),
        certificate: Ok(certificate.clone()),
    });
    let default = DefaultOffer { source: "default".into(), certificate: default.clone() };
    CertIndex::build(offers.collect(), default, NOW).0
}

#[test]
fn readers_see_what_is_published_and_keep_what_they_loaded() {
    let (default, a) = (cert(&["default.example.com"]), cert(&["a.example.com"]));
    let (mut publisher, cell) = CertCell::new(index(&default, &[]));
    let reader = cell.clone();
    let before = reader.load();
    assert!(publisher.publish(index(&default, &[a])));
    assert!(reader.load().has("a.example.com"));
    assert!(!before.has("a.example.com"));
}

#[test]
fn an_equal_index_is_not_published() {
    let default = cert(&["default.example.com"]);
    let pair = pair(&["a.example.com"]);
    let [once, again] = [(); 2].map(|()| Arc::new(read(&pair)));
    let (mut publisher, cell) = CertCell::new(index(&default, &[once]));
    let before = cell.load();
    assert!(!publisher.publish(index(&default, &[again])));
    assert!(Arc::ptr_eq(&before, &cell.load()));
}

#[test]
fn a_new_intermediate_alone_is_a_change() {
    let (default, root) = (cert(&["default.example.com"]), authority("root"));
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = params(&["a.example.com"]).signed_by(&key, &root).unwrap();
    let [bare, full] = [leaf.pem(), leaf.pem() + &root.pem()]
        .map(|text| Arc::new(Certificate::from_pem(text.as_bytes(), key.serialize_pem().as_bytes(), tls()).unwrap()));
    let (mut publisher, _) = CertCell::new(index(&default, &[bare]));
    assert!(publisher.publish(index(&default, &[full])));
}

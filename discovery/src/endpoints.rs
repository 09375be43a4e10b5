//! The slices of one Service put together.
//!
//! One pod can stand in several slices: for a while in two of one family, when the controller moves it, and always in two
//! of a dual-stack Service, one for each family. It is one endpoint all the same, or it would get twice its part of the
//! requests. The rule: of a pod (`targetRef.uid`) and a port, one address is kept. An address of the family that the Service's
//! `ipFamilies` lists first comes before the other family's (IPv4 where it lists none); then the one in the better
//! condition; then the lower address. A pod with an address in the other family only is kept with that one. Endpoints
//! without a `targetRef` are known by their address alone, and never stand beside a pod at that same address.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway_core::cluster::Endpoint;

use crate::translate::{Family, Slice};

/// Every endpoint once, in the order of [`Endpoint::place`]; the list of the slice itself where that is all there is.
pub(crate) fn of_service<'a>(slices: impl Iterator<Item = &'a Slice>, prefer: Family) -> Arc<Vec<Endpoint>> {
    let slices: Vec<_> = slices.collect();
    let merged = merge(slices.iter().flat_map(|slice| &*slice.endpoints), prefer);
    match &*slices {
        [only] if *only.endpoints == merged => Arc::clone(&only.endpoints),
        _ => Arc::new(merged),
    }
}

/// `listed` are those of all slices, in the order of the slices' names.
fn merge<'a>(listed: impl Iterator<Item = &'a Endpoint>, prefer: Family) -> Vec<Endpoint> {
    let mut pods: BTreeMap<(&str, &str), &Endpoint> = BTreeMap::new();
    let mut unknown: BTreeMap<(&str, SocketAddr), &Endpoint> = BTreeMap::new();
    for endpoint in listed {
        if endpoint.known {
            keep_better(&mut pods, (&endpoint.port_name, &endpoint.uid), endpoint, prefer);
        } else {
            keep_better(&mut unknown, (&endpoint.port_name, endpoint.address), endpoint, prefer);
        }
    }
    for pod in pods.values() {
        unknown.remove(&(&*pod.port_name, pod.address));
    }
    let mut merged: Vec<Endpoint> = pods.into_values().chain(unknown.into_values()).cloned().collect();
    merged.sort_by(|a, b| a.place().cmp(&b.place()));
    merged
}

fn keep_better<'a, K: Ord>(kept: &mut BTreeMap<K, &'a Endpoint>, key: K, endpoint: &'a Endpoint, prefer: Family) {
    let rank = |e: &Endpoint| {
        let preferred = e.address.is_ipv6() == (prefer == Family::V6);
        (preferred, e.ready, e.serving, !e.terminating, Reverse(e.address))
    };
    kept.entry(key)
        .and_modify(|kept| {
            if rank(endpoint) > rank(kept) {
                *kept = endpoint;
            }
        })
        .or_insert(endpoint);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use proptest::prelude::*;

    fn listed(uid: &str, port: &str, address: &str) -> Endpoint {
        Endpoint {
            port_name: port.into(),
            address: address.parse().unwrap(),
            uid: uid.into(),
            known: true,
            ready: true,
            serving: true,
            terminating: false,
        }
    }

    fn addresses(listed: &[Endpoint], prefer: Family) -> Vec<String> {
        merge(listed.iter(), prefer).iter().map(|e| format!("{} {}", e.uid, e.address)).collect()
    }

    #[test]
    fn a_dual_stack_pod_counts_once_in_the_services_first_family() {
        let both = [listed("a", "http", "[fd00::1]:80"), listed("a", "http", "10.0.0.1:80")];
        assert_eq!(addresses(&both, Family::V4), ["a 10.0.0.1:80"]);
        assert_eq!(addresses(&both, Family::V6), ["a [fd00::1]:80"]);
    }

    #[test]
    fn a_pod_with_the_other_family_only_is_not_lost() {
        let mixed = [listed("a", "http", "10.0.0.1:80"), listed("b", "http", "[fd00::2]:80")];
        assert_eq!(addresses(&mixed, Family::V4), ["a 10.0.0.1:80", "b [fd00::2]:80"]);
    }

    #[test]
    fn a_pod_in_two_slices_counts_once_in_its_better_condition() {
        let mut stale = listed("a", "http", "10.0.0.1:80");
        stale.ready = false;
        let fresh = listed("a", "http", "10.0.0.1:80");
        for order in [[stale.clone(), fresh.clone()], [fresh, stale]] {
            let merged = merge(order.iter(), Family::V4);
            assert_eq!(merged.len(), 1);
            assert!(merged[0].ready);
        }
    }

    #[test]
    fn the_ports_of_a_pod_are_endpoints_of_their_own() {
        let ports = [listed("a", "http", "10.0.0.1:80"), listed("a", "admin", "10.0.0.1:81")];
        assert_eq!(merge(ports.iter(), Family::V4).len(), 2);
    }

    #[test]
    fn a_reused_address_is_two_pods() {
        let host_network = [listed("new", "http", "10.0.0.1:80"), listed("old", "http", "10.0.0.1:80")];
        assert_eq!(merge(host_network.iter(), Family::V4).len(), 2);
    }

    #[test]
    fn an_endpoint_without_a_target_is_known_by_its_address() {
        let unknown = |slice: &str, address: &str| Endpoint { known: false, ..listed(slice, "http", address) };
        let listed = [
            unknown("s1/10.0.0.1", "10.0.0.1:80"),
            unknown("s2/10.0.0.1", "10.0.0.1:80"),
            unknown("s1/10.0.0.2", "10.0.0.2:80"),
            listed("pod", "http", "10.0.0.2:80"),
        ];
        assert_eq!(addresses(&listed, Family::V4), ["s1/10.0.0.1 10.0.0.1:80", "pod 10.0.0.2:80"]);
    }

    #[test]
    fn the_list_of_a_services_only_slice_is_shared() {
        let slice = |endpoints: &[Endpoint]| Slice { service: None, endpoints: Arc::new(endpoints.to_vec()) };
        let alone = slice(&[listed("a", "http", "10.0.0.1:80"), listed("b", "http", "10.0.0.2:80")]);
        assert!(Arc::ptr_eq(&of_service([&alone].into_iter(), Family::V4), &alone.endpoints));
        let more = slice(&[listed("c", "http", "10.0.0.3:80")]);
        assert_eq!(of_service([&alone, &more].into_iter(), Family::V4).len(), 3);
        let twice = slice(&[listed("a", "http", "10.0.0.1:80"), listed("a", "http", "10.0.0.2:80")]);
        assert_eq!(of_service([&twice].into_iter(), Family::V4).len(), 1);
    }

    proptest! {
        #[test]
        fn every_pod_is_one_endpoint_a_port_whatever_the_order_of_the_slices(
            pods in prop::collection::vec((0..4_u8, any::<bool>(), any::<bool>(), any::<bool>(), 1..3_u8), 0..24),
            v6 in any::<bool>(),
            turn in any::<prop::sample::Index>(),
        ) {
            let mut all: Vec<Endpoint> = pods.iter().map(|(pod, six, ready, admin, host)| {
                let address = if *six { format!("[fd00::{pod}:{host}]:80") } else { format!("10.0.{pod}.{host}:80") };
                let mut listed = listed(&pod.to_string(), if *admin { "admin" } else { "http" }, &address);
                listed.ready = *ready;
                listed
            }).collect();
            let prefer = if v6 { Family::V6 } else { Family::V4 };
            let merged = merge(all.iter(), prefer);
            let mut expected: Vec<_> = all.iter().map(|e| (e.port_name.clone(), e.uid.clone())).collect();
            expected.sort();
            expected.dedup();
            let mut found: Vec<_> = merged.iter().map(|e| (e.port_name.clone(), e.uid.clone())).collect();
            found.sort();
            prop_assert_eq!(found, expected);
            if !all.is_empty() {
                let middle = turn.index(all.len());
                all.rotate_left(middle);
                prop_assert_eq!(merge(all.iter(), prefer), merged);
            }
        }
    }
}

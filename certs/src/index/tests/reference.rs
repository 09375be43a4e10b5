//! The index against a list that is searched from end to end.

use std::cmp::Reverse;

use proptest::prelude::*;

use super::*;

/// One-label, two-label and foreign hosts, so that wildcards, their suffixes and what lies beyond meet often.
const HOSTS: [&str; 7] = ["e.com", "a.e.com", "b.e.com", "x.a.e.com", "y.a.e.com", "a.o.org", "o.org"];
const PATTERNS: [&str; 9] = ["e.com", "a.e.com", "b.e.com", "x.a.e.com", "*.e.com", "*.a.e.com", "*.o.org", "a.o.org", "*.com"];

/// Not yet valid, valid for short and long, expired.
const BOUNDS: [(i64, i64); 4] =
    [(NOW + 1, NOW + 50 * DAY), (NOW - DAY, NOW + 20 * DAY), (NOW - DAY, NOW + 40 * DAY), (NOW - DAY, NOW - 1)];

fn pattern() -> impl Strategy<Value = &'static str> {
    prop::sample::select(PATTERNS.to_vec())
}

fn an_offer() -> impl Strategy<Value = Offer> {
    let hosts = prop::option::of(prop::collection::vec(prop_oneof![8 => pattern(), 1 => Just("*")], 0..4));
    let names = prop::collection::btree_set(pattern(), 1..4);
    let except = prop::collection::vec(pattern(), 0..3);
    let bounds = prop::sample::select(BOUNDS.to_vec());
    (0..3_u32, 0..3_u32, hosts, except, names, bounds).prop_map(|(source, rank, hosts, except, names, bounds)| {
        let names: Vec<_> = names.into_iter().collect();
        Offer {
            source: source.to_string(),
            rank,
            hosts: hosts.map_or(Allowed::Any, |hosts| allowed(&hosts)),
            except: except.iter().map(|pattern| pattern.parse().unwrap()).collect(),
            certificate: Ok(cert_valid(&names, bounds.0, bounds.1)),
        }
    })
}

/// Whether `pattern`, as text, is for `host`: written anew, on purpose.
fn is_for(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(tail) => host.strip_suffix(tail).is_some_and(|label| !label.is_empty() && !label.contains('.')),
        None => pattern == host,
    }
}

/// The certificate for `host`, by looking at every name of every offer.
fn naive(offers: &[Offer], host: &str) -> Option<(Arc<Certificate>, Match)> {
    let claims = offers.iter().flat_map(|offer| {
        let certificate = offer.certificate.as_ref().unwrap();
        let allowed = match &offer.hosts {
            Allowed::Any => true,
            Allowed::Hosts(hosts) => hosts.iter().any(|pattern| is_for(&pattern.to_string(), host)),
        };
        let excepted = offer.except.iter().any(|pattern| is_for(&pattern.to_string(), host));
        let allowed = allowed && !excepted;
        let names = certificate.names().iter().map(ToString::to_string).filter(move |name| allowed && is_for(name, host));
        names.map(move |name| {
            let validity = certificate.validity();
            let out = NOW < validity.not_before || NOW > validity.not_after;
            let key =
                (out, name.starts_with('*'), offer.rank, Reverse(validity.not_after), &offer.source, certificate.fingerprint());
            (key, certificate)
        })
    });
    claims
        .min_by(|(a, _), (b, _)| a.cmp(b))
        .map(|(key, certificate)| (certificate.clone(), if key.1 { Match::Wildcard } else { Match::Exact }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_index_agrees_with_a_linear_search(offers in prop::collection::vec(an_offer(), 0..7)) {
        let (index, _) = build(offers.clone());
        for host in HOSTS {
            let choice = index.choose(Some(host));
            if let Some((certificate, matched)) = naive(&offers, host) {
                prop_assert_eq!(choice.matched, matched, "{}", host);
                prop_assert_eq!(choice.certificate, &certificate, "{}", host);
                prop_assert!(index.has(host) && choice.certificate.covers(host));
            } else {
                prop_assert_eq!(choice.matched, Match::Default, "{}", host);
                prop_assert!(!index.has(host));
            }
        }
    }
}

#![allow(clippy::unwrap_used)]
use std::sync::Arc;

use super::*;

fn hop() -> Hop {
    Hop {
        pool: pool_key("shop/web:80").unwrap(),
        client: "2001:db8::7".parse().unwrap(),
        country: Some("DE".parse().unwrap()),
        fence: Some(vec!["azure".parse().unwrap(), "google".parse().unwrap()]),
        deadline: Some(Duration::from_millis(14_900)),
        crossings: 1,
        session: Some(0xfeed_0000_0000_0001),
    }
}

fn map(hop: &Hop) -> HeaderMap {
    hop.headers().into_iter().collect()
}

#[test]
fn a_hop_comes_out_as_it_went_in() {
    for hop in [hop(), Hop { country: None, fence: None, deadline: None, crossings: 2, session: None, ..hop() }] {
        assert_eq!(Hop::read(&map(&hop)), Ok(Some(hop)));
    }
    assert_eq!(Hop::read(&HeaderMap::new()), Ok(None));
}

#[test]
fn an_older_edges_hop_is_understood_and_one_from_another_age_is_not() {
    let mut old = map(&Hop { country: None, fence: None, deadline: None, ..hop() });
    old.insert(HOP, 0.into());
    old.remove(CROSSINGS);
    assert_eq!(Hop::read(&old).unwrap().unwrap().crossings, 1);
    old.insert(HOP, 7.into());
    assert_eq!(Hop::read(&old), Err(HopFault::Version(7)));
}

#[test]
fn a_field_that_is_wrong_or_missing_is_named() {
    for (name, value) in [
        (POOL, Some("shop/web")),
        (POOL, None),
        (CLIENT, Some("somebody")),
        (CLIENT, None),
        (FENCE, Some("azure,,")),
        (DEADLINE, Some("-1")),
        (CROSSINGS, Some("many")),
        (SESSION, Some("mine")),
    ] {
        let mut headers = map(&hop());
        headers.remove(&name);
        if let Some(value) = value {
            headers.insert(name.clone(), HeaderValue::from_static(value));
        }
        assert_eq!(Hop::read(&headers), Err(HopFault::Malformed(Box::leak(name.to_string().into_boxed_str()))));
    }
}

#[test]
fn an_older_edges_ping_tells_who_it_is_and_no_more() {
    let probe: Probe = serde_json::from_str(r#"{"version": 0, "instance": "abc", "cluster": "azure"}"#).unwrap();
    assert!(probe.understood());
    assert_eq!((probe.counts, probe.views.len(), probe.config_hash), (None, 0, None));
}

#[test]
fn a_newer_edges_ping_is_read_as_far_as_it_is_known_and_only_if_it_still_speaks_our_version() {
    let text = r#"{"version": 2, "oldest": 1, "instance": "abc", "cluster": "azure", "views": {"aws": "sleepy"}, "more": []}"#;
    let probe: Probe = serde_json::from_str(text).unwrap();
    assert!(probe.understood());
    assert_eq!(probe.views[&"aws".parse::<ClusterId>().unwrap()], View::Unknown);
    assert!(!Probe { oldest: 2, ..probe }.understood());
}

#[test]
fn counts_follow_by_changes_and_start_over_where_something_was_missed() {
    let key = || pool_key("shop/web:80").unwrap();
    let all = Counts::from([(key(), Count { ready: 1, total: 2 })]);
    let first = CountsAnswer::new(5, None, Told::All(Arc::new(all.clone())));
    let text = serde_json::to_string(&first).unwrap();
    let (generation, counts) = serde_json::from_str::<CountsAnswer>(&text).unwrap().applied(None).unwrap();
    assert_eq!((generation, &counts), (5, &all));
    let next = CountsAnswer::new(6, Some(5), Told::Changes(vec![(key(), None)]));
    assert_eq!(next.clone().applied(Some((5, &counts))), Some((6, Counts::new())));
    assert_eq!(next.clone().applied(Some((4, &counts))), None);
    assert_eq!(next.applied(None), None);
}

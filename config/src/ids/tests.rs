#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn host(s: &str) -> HostName {
    s.parse().unwrap()
}

fn host_remedy_of(s: &str) -> String {
    s.parse::<HostName>().unwrap_err().remedy
}

#[test]
fn host_names_have_one_normal_form() {
    assert_eq!(host("WWW.Example.COM.").as_str(), "www.example.com");
    assert_eq!(host("a_b.example.com").as_str(), "a_b.example.com");
    assert_eq!(host("localhost").as_str(), "localhost");
}

#[test]
fn addresses_are_hosts_in_their_shortest_form() {
    assert_eq!(host("[2001:DB8:0:0::1]").as_str(), "2001:db8::1");
    assert_eq!(host("2001:db8::1").as_str(), "2001:db8::1");
    assert_eq!(host("192.0.2.1").as_str(), "192.0.2.1");
    assert!(host("[::1]").is_ip() && host("192.0.2.1.").is_ip() && !host("a.example").is_ip());
}

#[test]
fn what_looks_like_an_address_and_is_none_is_no_name_either() {
    for s in ["256.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "example.1", "[192.0.2.1]", "[::1", "fe80::1%eth0", "[]"] {
        assert!(s.parse::<HostName>().is_err(), "{s}");
    }
}

#[test]
fn a_wrong_host_name_is_told_what_to_change() {
    assert!(host_remedy_of("https://www.example.com").contains("scheme"));
    assert!(host_remedy_of("www.example.com/shop").contains("path"));
    assert_eq!(host_remedy_of("www.example.com:443"), "leave out the port: `www.example.com`");
    assert!(host_remedy_of("bücher.example").contains("punycode"));
    assert!(host_remedy_of("www.*.example").contains("first label"));
    assert!(host_remedy_of(&"a.".repeat(200)).contains("253"));
}

#[test]
fn a_wildcard_stands_for_one_label_below_a_name() {
    assert_eq!("*.Example.com".parse(), Ok(HostPattern::Wildcard(host("example.com"))));
    assert_eq!("*".parse(), Ok(HostPattern::Any));
    assert_eq!("".parse(), Ok(HostPattern::Any));
    assert_eq!("a.example.com".parse(), Ok(HostPattern::Exact(host("a.example.com"))));
    for wrong in ["*.", "*.*.example.com", "*.192.0.2.1", "*.[::1]", "*a.example.com"] {
        assert!(wrong.parse::<HostPattern>().is_err(), "{wrong}");
    }
}

#[test]
fn covering_goes_one_label_deep() {
    let pattern = |s: &str| s.parse::<HostPattern>().unwrap();
    assert!(pattern("*").covers(&pattern("*.example.com")));
    assert!(pattern("*.example.com").covers(&pattern("a.example.com")));
    assert!(!pattern("*.example.com").covers(&pattern("a.b.example.com")));
    assert!(!pattern("*.example.com").covers(&pattern("example.com")));
    assert!(!pattern("*.example.com").covers(&pattern("*.a.example.com")));
    assert!(pattern("a.example.com").covers(&pattern("A.example.com.")));
}

#[test]
fn cluster_names_are_lower_case_labels() {
    assert!("eu-west".parse::<ClusterId>().is_ok());
    for wrong in ["", "AWS", "-a", "a-", "a.b", "a_b", &"a".repeat(64)] {
        assert!(wrong.parse::<ClusterId>().is_err(), "{wrong}");
    }
}

#[test]
fn owners_name_a_namespace_of_one_cluster_or_of_any() {
    let azure: ClusterId = "azure".parse().unwrap();
    let bank: Owner = "azure/bank".parse().unwrap();
    let any: Owner = "*/bank".parse().unwrap();
    assert!(bank.is(&azure, "bank") && !bank.is(&azure, "shop") && any.is(&azure, "bank"));
    assert!(!bank.is(&"aws".parse().unwrap(), "bank"));
    for wrong in ["bank", "azure/", "/bank", "Azure/bank", "azure/Bank", "azure/a/b", "azure/*"] {
        assert!(wrong.parse::<Owner>().is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn a_parsed_host_parses_to_itself(s in "(\\PC{0,20}|[a-z0-9.:\\[\\]*_-]{0,40})") {
        if let Ok(host) = s.parse::<HostName>() {
            prop_assert_eq!(host.as_str().parse::<HostName>(), Ok(host.clone()));
        }
        if let Ok(pattern) = s.parse::<HostPattern>() {
            prop_assert_eq!(pattern.to_string().parse::<HostPattern>(), Ok(pattern.clone()));
        }
    }

    #[test]
    fn names_display_as_they_parse(s in "\\PC{0,30}") {
        if let Ok(id) = s.parse::<ClusterId>() {
            prop_assert_eq!(id.as_str(), s.as_str());
        }
        if let Ok(owner) = s.parse::<Owner>() {
            prop_assert_eq!(owner.to_string(), s.as_str());
        }
        if let Ok(object) = s.parse::<ObjectName>() {
            prop_assert_eq!(object.to_string(), s);
        }
    }
}

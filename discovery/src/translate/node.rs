//! Node (`core/v1`).

use std::net::IpAddr;

use causeway_config::ClusterId;
use causeway_core::cluster::Node;
use causeway_core::diagnostics::Diagnostic;
use k8s_openapi::api::core::v1;

use super::{Key, Kind, Object, Translated};

/// Translates a node. What is not an IP address (a host name, mostly) is left out without a word: every node has one besides.
pub fn node(cluster: &ClusterId, object: v1::Node) -> Result<Translated, Diagnostic> {
    let v1::Node { metadata, status, .. } = object;
    let key = Key::new(cluster, Kind::Node, &metadata)?;
    let status = status.unwrap_or_default();
    // A node that says nothing of itself is one of a folder, which nobody watches over.
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let ready = ready.is_none_or(|condition| condition.status == "True");
    let addresses = status.addresses.unwrap_or_default();
    // In a dual-stack cluster a node lists one of each family, its own first.
    let first = |type_: &str| addresses.iter().filter(|a| a.type_ == type_).find_map(|a| a.address.parse::<IpAddr>().ok());
    let node = Node { ready, internal: first("InternalIP"), external: first("ExternalIP") };
    Ok(Translated { key, object: Object::Node(node), diagnostics: Vec::new() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn translated(status: &Value) -> Node {
        let object = json!({"metadata": {"name": "ip-10-0-0-7.ec2.internal"}, "status": status});
        let translated = node(&"aws".parse().unwrap(), serde_json::from_value(object).unwrap()).unwrap();
        assert_eq!(translated.key.to_string(), "Node ip-10-0-0-7.ec2.internal");
        let Object::Node(node) = translated.object else { panic!("{translated:?}") };
        node
    }

    #[test]
    fn of_each_type_the_first_address_counts_and_names_do_not() {
        let addresses = json!([
            {"type": "Hostname", "address": "10.9.9.9"},
            {"type": "InternalDNS", "address": "ip-10-0-0-7.ec2.internal"},
            {"type": "InternalIP", "address": "10.0.0.7"},
            {"type": "InternalIP", "address": "fd00::7"},
            {"type": "ExternalIP", "address": "no address"},
            {"type": "ExternalIP", "address": "203.0.113.7"},
        ]);
        let expected = Node { ready: true, internal: "10.0.0.7".parse().ok(), external: "203.0.113.7".parse().ok() };
        assert_eq!(translated(&json!({"addresses": addresses})), expected);
    }

    #[test]
    fn ready_is_what_its_condition_says() {
        let ready = |status: &str| translated(&json!({"conditions": [{"type": "Ready", "status": status}]})).ready;
        assert!(ready("True") && !ready("False") && !ready("Unknown"));
        assert!(translated(&json!({})).ready);
    }
}

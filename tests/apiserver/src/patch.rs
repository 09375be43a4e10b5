//! Patches: JSON merge (RFC 7386), and what kubectl's strategic merge needs of it.

use serde_json::{Map, Value};

/// RFC 7386.
pub(crate) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    let fields = object(target);
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Strategic merge, as far as the kinds of this server need it: `ports` are merged by `port`, other lists replaced; the
/// directives that order lists are left out, since no list here is ordered by merging.
pub(crate) fn strategic(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    let fields = object(target);
    for (name, value) in patch {
        match value {
            _ if name.starts_with('$') => {}
            Value::Null => drop(fields.remove(&name)),
            Value::Array(items) if name == "ports" => {
                by_key(fields.entry(name).or_insert(Value::Array(Vec::new())), items, "port");
            }
            value => strategic(fields.entry(name).or_insert(Value::Null), value),
        }
    }
}

fn by_key(target: &mut Value, items: Vec<Value>, key: &str) {
    let Value::Array(list) = target else {
        *target = Value::Array(items);
        return;
    };
    for item in items {
        let at = list.iter().position(|old| old.get(key) == item.get(key));
        match (item.get("$patch").and_then(Value::as_str), at) {
            (Some("delete"), Some(at)) => drop(list.remove(at)),
            (Some("delete"), None) => {}
            (_, Some(at)) => strategic(&mut list[at], item),
            (_, None) => list.push(item),
        }
    }
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was just made one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn null_removes_and_lists_are_replaced() {
        let mut target = json!({"a": 1, "b": {"c": [1, 2], "d": 1}});
        merge(&mut target, json!({"a": null, "b": {"c": [3]}}));
        assert_eq!(target, json!({"b": {"c": [3], "d": 1}}));
    }

    #[test]
    fn ports_are_merged_by_their_number() {
        let mut target = json!({"ports": [{"port": 80, "name": "http"}, {"port": 81}]});
        let patch =
            json!({"$setElementOrder/ports": [], "ports": [{"port": 80, "name": "web"}, {"port": 81, "$patch": "delete"}]});
        strategic(&mut target, patch);
        assert_eq!(target, json!({"ports": [{"port": 80, "name": "web"}]}));
    }
}

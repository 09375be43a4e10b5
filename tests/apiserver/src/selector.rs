//! Label and field selectors.

use serde_json::Value;

/// What a list or a watch is restricted to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    fields: Vec<Requirement>,
    labels: Vec<Requirement>,
}

/// One clause.
#[derive(Clone, Debug, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Selector {
    /// From the texts of `fieldSelector` and `labelSelector`.
    pub(crate) fn parse(fields: Option<&str>, labels: Option<&str>) -> Result<Self, String> {
        Ok(Self { fields: parse(fields.unwrap_or_default())?, labels: parse(labels.unwrap_or_default())? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.labels.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str);
        let field = |path: &str| {
            let found = path.split('.').try_fold(object, |value, name| value.get(name));
            Some(found.and_then(Value::as_str).unwrap_or_default())
        };
        self.labels.iter().all(|r| r.holds(label)) && self.fields.iter().all(|r| r.holds(field))
    }
}

impl Requirement {
    fn holds<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        let is_in = |key: &str, values: &[String]| get(key).is_some_and(|value| values.iter().any(|v| v == value));
        match self {
            Self::In(key, values) => is_in(key, values),
            Self::NotIn(key, values) => !is_in(key, values),
            Self::Exists(key) => get(key).is_some(),
            Self::Absent(key) => get(key).is_none(),
        }
    }
}

fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    clauses(text).into_iter().filter(|clause| !clause.is_empty()).map(clause).collect()
}

/// Splits at commas outside parentheses.
fn clauses(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .collect()
}

fn clause(text: &str) -> Result<Requirement, String> {
    let one = |key: &str, value: &str| (key.trim().to_owned(), vec![value.trim().to_owned()]);
    if let Some((key, value)) = text.split_once("!=") {
        let (key, value) = one(key, value);
        return Ok(Requirement::NotIn(key, value));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        let (key, value) = one(key, value);
        return Ok(Requirement::In(key, value));
    }
    if let Some((head, list)) = text.split_once('(') {
        let list = list.strip_suffix(')').ok_or_else(|| format!("`{text}` has no closing parenthesis"))?;
        let values = list.split(',').map(|value| value.trim().to_owned()).collect();
        return match head.trim().rsplit_once(' ') {
            Some((key, "in")) => Ok(Requirement::In(key.trim().to_owned(), values)),
            Some((key, "notin")) => Ok(Requirement::NotIn(key.trim().to_owned(), values)),
            _ => Err(format!("`{text}` is neither `in` nor `notin`")),
        };
    }
    Ok(match text.strip_prefix('!') {
        Some(key) => Requirement::Absent(key.trim().to_owned()),
        None => Requirement::Exists(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_select_as_kubernetes_says() {
        let object = json!({"metadata": {"name": "web", "labels": {"app": "shop", "tier": "web"}}, "type": "Opaque"});
        for (fields, labels, expected) in [
            ("metadata.name=web", "", true),
            ("metadata.name==api", "", false),
            ("type!=Opaque", "", false),
            ("", "app=shop,tier in (web, api)", true),
            ("", "tier notin (web,api)", false),
            ("", "app", true),
            ("", "!app", false),
            ("", "!gone,other!=x", true),
        ] {
            let selector = Selector::parse(Some(fields), Some(labels)).unwrap();
            assert_eq!(selector.matches(&object), expected, "{fields} {labels}");
        }
        assert!(Selector::parse(None, Some("a in (b")).is_err());
    }
}

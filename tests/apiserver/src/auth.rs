//! Who may ask, and for what.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode, header};

use crate::status::Status;

/// Tokens and refusals; everything changes while the server runs.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    /// User by token.
    tokens: BTreeMap<String, String>,
    denied: Vec<Denied>,
    /// Where anything namespaced may be read; `None`: everywhere.
    namespaces: Option<Vec<String>>,
}

/// What is refused with 403.
#[derive(Clone, Debug, PartialEq)]
struct Denied {
    resource: String,
    verbs: Vec<String>,
}

/// What a request wants.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) plural: &'a str,
    pub(crate) namespaced: bool,
    pub(crate) namespace: Option<&'a str>,
}

impl Auth {
    pub(crate) fn admit(&mut self, token: &str, user: &str) {
        self.tokens.insert(token.into(), user.into());
    }

    pub(crate) fn revoke(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    pub(crate) fn deny(&mut self, resource: &str, verbs: &[&str]) {
        self.denied.push(Denied { resource: resource.into(), verbs: verbs.iter().map(ToString::to_string).collect() });
    }

    pub(crate) fn allow(&mut self, resource: &str) {
        self.denied.retain(|denied| denied.resource != resource);
    }

    pub(crate) fn only_namespaces(&mut self, namespaces: Option<&[&str]>) {
        self.namespaces = namespaces.map(|all| all.iter().map(ToString::to_string).collect());
    }

    /// The user of a request.
    pub(crate) fn user(&self, headers: &HeaderMap) -> Result<String, Status> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = value.strip_prefix("Bearer ").unwrap_or_default().trim();
        self.tokens.get(token).cloned().ok_or_else(|| Status::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"))
    }

    /// Whether the user may.
    pub(crate) fn check(&self, user: &str, wish: &Wish<'_>) -> Result<(), Status> {
        let denied =
            self.denied.iter().any(|d| d.resource == wish.plural && d.verbs.iter().any(|verb| verb == wish.verb || verb == "*"));
        let outside = self.namespaces.as_ref().is_some_and(|allowed| match wish.namespace {
            Some(namespace) => !allowed.iter().any(|a| a == namespace),
            None => true,
        });
        if !denied && !outside {
            return Ok(());
        }
        let place = match wish.namespace {
            Some(namespace) if wish.namespaced => format!("in the namespace \"{namespace}\""),
            _ => "at the cluster scope".into(),
        };
        let message = format!(
            "{} is forbidden: User \"{user}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
            wish.plural, wish.verb, wish.plural, wish.group
        );
        Err(Status::new(StatusCode::FORBIDDEN, "Forbidden", message))
    }
}

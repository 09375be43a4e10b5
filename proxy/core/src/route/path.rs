//! Paths of one host: exact before prefix, longest prefix first, element by element.
//!
//! Source: Kubernetes Ingress, "Path types" and "Multiple matches".

use std::borrow::Cow;
use std::sync::Arc;

use super::Route;
use super::normal::{BadPath, lenient_path, normal_path};

/// What a rule says of the path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathMatch {
    /// The path to the letter.
    Exact(Box<str>),
    /// Every path that begins with these elements; kept without trailing slash, so that `/` is empty.
    Prefix(Box<str>),
}

impl PathMatch {
    /// An exact path.
    pub fn exact(path: &str) -> Self {
        Self::Exact(normal(path).into())
    }

    /// A prefix: `/foo/` and `/foo` mean the same.
    pub fn prefix(path: &str) -> Self {
        Self::Prefix(normal(path).trim_end_matches('/').into())
    }
}

/// Rules are written as people please, and matched against normal forms. One that is no path stays, and matches nothing.
fn normal(path: &str) -> Cow<'_, str> {
    normal_path(path).unwrap_or(Cow::Borrowed(path))
}

impl std::fmt::Display for PathMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "{path} (exact)"),
            Self::Prefix(path) if path.is_empty() => f.write_str("/"),
            Self::Prefix(path) => f.write_str(path),
        }
    }
}

/// A rule, and the path that it matched.
#[derive(Debug)]
pub struct Matched<'t, 'p> {
    /// The rule.
    pub rule: &'t (PathMatch, Arc<Route>),
    /// The path in normal form.
    pub path: Cow<'p, str>,
}

/// The paths of a host, sorted for binary search: a look-up costs one search a path element, however many rules there are.
#[derive(Debug, Default)]
pub struct PathTable {
    rules: Box<[(PathMatch, Arc<Route>)]>,
    /// Length of the longest prefix: a longer path need not be looked up as it is.
    longest: usize,
}

impl PathTable {
    /// From rules in order of precedence; of two with the same match the first is kept.
    pub fn new(mut rules: Vec<(PathMatch, Arc<Route>)>) -> Self {
        rules.sort_by(|(a, _), (b, _)| a.cmp(b));
        rules.dedup_by(|(later, _), (first, _)| later == first);
        let length = |(m, _): &(PathMatch, _)| if let PathMatch::Prefix(p) = m { p.len() } else { 0 };
        let longest = rules.iter().map(length).max().unwrap_or_default();
        Self { rules: rules.into(), longest }
    }

    /// The rule for a path as a client sent it, without its query, and its normal form; `None` where no rule matches. A path
    /// that a lenient backend could take for one of another rule (see [`normal`](super::normal)) is refused.
    pub fn matching<'p>(&self, path: &'p str) -> Result<Option<Matched<'_, 'p>>, BadPath> {
        let path = normal_path(path)?;
        let found = self.find(&path);
        if let Some(lenient) = lenient_path(&path) {
            let rule = |found: Option<&(PathMatch, Arc<Route>)>| found.map(|(rule, _)| rule.clone());
            if rule(found) != rule(self.find(&lenient)) {
                return Err(BadPath::Ambiguous);
            }
        }
        Ok(found.map(|rule| Matched { rule, path }))
    }

    /// The rule for `path`, in normal form.
    pub fn find(&self, path: &str) -> Option<&(PathMatch, Arc<Route>)> {
        self.exact(path).or_else(|| self.longest_prefix(path))
    }

    fn exact(&self, path: &str) -> Option<&(PathMatch, Arc<Route>)> {
        let at = self.rules.binary_search_by(|(m, _)| match m {
            PathMatch::Exact(p) => (**p).cmp(path),
            PathMatch::Prefix(_) => std::cmp::Ordering::Greater,
        });
        at.ok().map(|at| &self.rules[at])
    }

    fn longest_prefix(&self, path: &str) -> Option<&(PathMatch, Arc<Route>)> {
        let mut rest = path;
        while rest.len() > self.longest {
            rest = &rest[..rest.rfind('/')?];
        }
        loop {
            let at = self.rules.binary_search_by(|(m, _)| match m {
                PathMatch::Exact(_) => std::cmp::Ordering::Less,
                PathMatch::Prefix(p) => (**p).cmp(rest),
            });
            if let Ok(at) = at {
                return Some(&self.rules[at]);
            }
            rest = &rest[..rest.rfind('/')?];
        }
    }

    /// Every rule.
    pub fn iter(&self) -> impl Iterator<Item = &(PathMatch, Arc<Route>)> {
        self.rules.iter()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use causeway_config::ObjectName;
    use proptest::prelude::*;

    use super::*;
    use crate::route::Origin;

    fn table(rules: &[PathMatch]) -> PathTable {
        let route = Route {
            label: "ingress/ns/x".into(),
            origin: Origin { kind: "Ingress", object: ObjectName::new("ns", "x"), cluster: "aws".parse().unwrap() },
            backends: Box::default(),
        };
        let route = Arc::new(route);
        PathTable::new(rules.iter().map(|m| (m.clone(), Arc::clone(&route))).collect())
    }

    fn found(table: &PathTable, path: &str) -> Option<PathMatch> {
        table.find(path).map(|(m, _)| m.clone())
    }

    /// The table of examples in the Kubernetes documentation, "Ingress: Examples".
    #[test]
    fn kubernetes_own_examples() {
        let (exact, prefix) = (PathMatch::exact, PathMatch::prefix);
        for (rules, path, expected) in [
            (vec![prefix("/")], "/any/path", Some(prefix("/"))),
            (vec![exact("/foo")], "/foo", Some(exact("/foo"))),
            (vec![exact("/foo")], "/bar", None),
            (vec![exact("/foo")], "/foo/", None),
            (vec![exact("/foo/")], "/foo", None),
            (vec![prefix("/foo")], "/foo", Some(prefix("/foo"))),
            (vec![prefix("/foo")], "/foo/", Some(prefix("/foo"))),
            (vec![prefix("/foo/")], "/foo", Some(prefix("/foo"))),
            (vec![prefix("/foo/")], "/foo/", Some(prefix("/foo"))),
            (vec![prefix("/aaa/bb")], "/aaa/bbb", None),
            (vec![prefix("/aaa/bbb")], "/aaa/bbb", Some(prefix("/aaa/bbb"))),
            (vec![prefix("/aaa/bbb/")], "/aaa/bbb", Some(prefix("/aaa/bbb"))),
            (vec![prefix("/aaa/bbb")], "/aaa/bbb/", Some(prefix("/aaa/bbb"))),
            (vec![prefix("/aaa/bbb")], "/aaa/bbb/ccc", Some(prefix("/aaa/bbb"))),
            (vec![prefix("/aaa/bbb")], "/aaa/bbbxyz", None),
            (vec![prefix("/"), prefix("/aaa")], "/aaa/ccc", Some(prefix("/aaa"))),
            (vec![prefix("/"), prefix("/aaa"), prefix("/aaa/bbb")], "/aaa/bbb", Some(prefix("/aaa/bbb"))),
            (vec![prefix("/"), prefix("/aaa"), prefix("/aaa/bbb")], "/ccc", Some(prefix("/"))),
            (vec![prefix("/aaa")], "/ccc", None),
            (vec![prefix("/foo"), exact("/foo")], "/foo", Some(exact("/foo"))),
        ] {
            assert_eq!(found(&table(&rules), path), expected, "{rules:?} {path}");
        }
    }

    #[test]
    fn a_path_reaches_no_rule_that_its_normal_form_does_not_match() {
        let rules = table(&[PathMatch::prefix("/"), PathMatch::prefix("/public"), PathMatch::prefix("/admin")]);
        let matched = |path| rules.matching(path).map(|m| m.map(|m| (m.rule.0.to_string(), m.path.into_owned())));
        for (path, rule, normal) in [
            ("/public/../admin", "/admin", "/admin"),
            ("//admin", "/admin", "/admin"),
            ("/%61dmin", "/admin", "/admin"),
            ("/public/a%2Fb", "/public", "/public/a%2Fb"),
            ("/public/a;v=1/b", "/public", "/public/a;v=1/b"),
            ("/public/%252e", "/public", "/public/%252e"),
        ] {
            assert_eq!(matched(path).unwrap().unwrap(), (rule.into(), normal.into()), "{path}");
        }
        for path in
            ["/public/..%2fadmin", "/public%2f..%2fadmin", "/public/..;/admin", "/admin%2fx", "/public/%252e%252e%252fadmin"]
        {
            assert_eq!(matched(path).unwrap_err(), BadPath::Ambiguous, "{path}");
        }
        let published = table(&[PathMatch::prefix("/public")]);
        for path in ["/public/..%2fadmin", "/x%2f..%2fpublic"] {
            assert_eq!(published.matching(path).unwrap_err(), BadPath::Ambiguous, "{path}");
        }
        assert!(published.matching("/x%2fy").unwrap().is_none());
    }

    #[test]
    fn rules_are_matched_in_normal_form_too() {
        let rules = table(&[PathMatch::prefix("/caf%c3%a9"), PathMatch::exact("/a//b")]);
        for path in ["/caf%C3%a9/x", "/a/b"] {
            assert!(rules.matching(path).unwrap().is_some(), "{path}");
        }
    }

    #[test]
    fn of_equal_matches_the_first_is_kept() {
        let table = table(&[PathMatch::prefix("/foo/"), PathMatch::prefix("/foo")]);
        assert_eq!(table.iter().count(), 1);
    }

    /// Straight from the words of the specification, one rule after the other.
    fn naive(rules: &[PathMatch], path: &str) -> Option<PathMatch> {
        let elements = |p: &str| p.split('/').skip(1).map(String::from).collect::<Vec<_>>();
        let exact = rules.iter().find(|m| matches!(m, PathMatch::Exact(p) if **p == *path));
        let prefix = rules
            .iter()
            .filter(|m| matches!(m, PathMatch::Prefix(p) if elements(path).starts_with(&elements(p))))
            .max_by_key(|m| matches!(m, PathMatch::Prefix(p) if !p.is_empty()).then(|| m.to_string().len()));
        exact.or(prefix).cloned()
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_naive_search(
            rules in proptest::collection::vec(("(/[ab]{0,2}){1,4}", any::<bool>()), 0..12),
            path in "(/[ab]{0,2}){1,5}",
        ) {
            let rules: Vec<_> = rules.iter().map(|(p, exact)| if *exact { PathMatch::exact(p) } else { PathMatch::prefix(p) }).collect();
            prop_assert_eq!(found(&table(&rules), &path), naive(&rules, &path));
        }
    }
}

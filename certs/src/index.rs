//! Which certificate answers which name: a pure index, built whole from all offers and never changed.
//!
//! An offer is a certificate together with the hosts that it *may* serve. What is indexed is the intersection of
//! those with the names in the certificate, so that one namespace's wildcard certificate never answers for a host of
//! another namespace. [`Standing`] is the whole precedence; `tests` hold the index against a list that is searched
//! from end to end.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use causeway_config::{HostName, HostPattern};

use crate::certificate::Certificate;
use crate::error::CertError;
use crate::fingerprint::Fingerprint;
use crate::names::{normal, parent};
use crate::problem::{EXPIRES_SOON, Problem};

/// A certificate, and what it may be used for.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Where it comes from, for messages: `Secret azure:bank/tls`. It also tells a renewed certificate's predecessor.
    pub source: String,
    /// Who wins where several offers have a host; the lower one does.
    pub rank: u32,
    /// The hosts that it may serve.
    pub hosts: Allowed,
    /// Hosts that it may not, although `hosts` covers them: below a wildcard, those that are somebody else's.
    pub except: Vec<HostPattern>,
    /// The certificate, or why there is none.
    pub certificate: Result<Arc<Certificate>, CertError>,
}

/// The hosts that a certificate may serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// All that it names.
    Any,
    /// Only these. A wildcard stands for one label here, as it does in certificates.
    Hosts(Vec<HostPattern>),
}

/// The certificate of clients that ask for no name, or for an unknown one.
#[derive(Clone, Debug)]
pub struct DefaultOffer {
    /// Where it comes from, for messages.
    pub source: String,
    /// The certificate.
    pub certificate: Arc<Certificate>,
}

/// Every certificate by the names that it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertIndex {
    exact: HashMap<HostName, Held>,
    /// By what follows `*.`.
    wildcard: HashMap<HostName, Held>,
    /// Hosts that no wildcard's holder may answer, and nobody else can.
    barred: HashSet<HostName>,
    default: Held,
    /// The last usable certificate of each source, for when the next one is broken.
    last_good: HashMap<Arc<str>, Arc<Certificate>>,
    changes_at: Option<i64>,
}

/// A certificate in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    standing: Standing,
    certificate: Arc<Certificate>,
}

/// A wildcard's claimants, each with the hosts that it may not answer.
type Claimants = Vec<(Held, Rc<HashSet<HostPattern>>)>;

/// How good a claim to a name is; the least wins. The order of the fields is the precedence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    /// A certificate that clients take beats one that they do not.
    invalid_now: bool,
    /// One that names the host itself beats a wildcard. It stands before the rank, so that a wildcard does not gain
    /// by being offered for a single host only.
    by_wildcard: bool,
    rank: u32,
    not_after: Reverse<i64>,
    /// Nothing else being different, the same one on every edge.
    source: Arc<str>,
    fingerprint: Fingerprint,
}

/// What [`CertIndex::choose`] found.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The certificate.
    pub certificate: &'a Arc<Certificate>,
    /// How it was found.
    pub matched: Match,
}

/// How a certificate was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It names the host.
    Exact,
    /// It has a wildcard for the host.
    Wildcard,
    /// It was the default.
    Default,
}

/// A name that is served, for metrics and listings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexEntry<'a> {
    /// The name; [`HostPattern::Any`] for the default certificate.
    pub name: HostPattern,
    /// Where its certificate comes from.
    pub source: &'a str,
    /// The last second of its validity, in Unix time.
    pub not_after: i64,
}

impl CertIndex {
    /// Builds an index of `offers`, and lists what is wrong with them, sorted.
    pub fn build(offers: Vec<Offer>, default: DefaultOffer, now: i64) -> (Self, Vec<Problem>) {
        Self::build_after(&HashMap::new(), offers, default, now)
    }

    /// As [`CertIndex::build`]; but where a source that had a usable certificate now has a broken one, as while a
    /// renewal is half written, the one before serves on, for the hosts that the offer allows now.
    pub fn rebuild(&self, offers: Vec<Offer>, default: DefaultOffer, now: i64) -> (Self, Vec<Problem>) {
        Self::build_after(&self.last_good, offers, default, now)
    }

    fn build_after(
        before: &HashMap<Arc<str>, Arc<Certificate>>,
        offers: Vec<Offer>,
        default: DefaultOffer,
        now: i64,
    ) -> (Self, Vec<Problem>) {
        let mut wildcards: HashMap<HostName, Claimants> = HashMap::new();
        let mut problems = Vec::new();
        problems.extend(Problem::validity(&default.source, default.certificate.validity(), now));
        let mut index = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            barred: HashSet::new(),
            changes_at: next_change(&default.certificate, now),
            default: Held {
                standing: Standing::of(&default.certificate, false, 0, default.source.into(), now),
                certificate: default.certificate,
            },
            last_good: HashMap::new(),
        };
        for Offer { source, rank, hosts, except, certificate } in offers {
            let certificate = match (certificate, before.get(source.as_str())) {
                (Ok(certificate), _) => certificate,
                (Err(error), Some(kept)) => {
                    problems.push(Problem::kept(&source, &error));
                    kept.clone()
                }
                (Err(error), None) => {
                    problems.push(Problem::broken(&source, &error));
                    continue;
                }
            };
            let source: Arc<str> = source.into();
            index.changes_at = index.changes_at.into_iter().chain(next_change(&certificate, now)).min();
            index.last_good.insert(source.clone(), certificate.clone());
            problems.extend(Problem::validity(&source, certificate.validity(), now));
            let claim = Claim { source, rank, hosts, except: Rc::new(except.into_iter().collect()), certificate };
            problems.extend(index.add(&claim, &mut wildcards, now));
        }
        index.settle(wildcards);
        problems.sort();
        problems.dedup();
        (index, problems)
    }

    /// Claims every name that the certificate has and that it may serve.
    fn add(&mut self, claim: &Claim, wildcards: &mut HashMap<HostName, Claimants>, now: i64) -> Option<Problem> {
        let Claim { source, rank, hosts, except, certificate } = claim;
        let mut claimed = false;
        for name in certificate.names() {
            let standing = Standing::of(certificate, matches!(name, HostPattern::Wildcard(_)), *rank, source.clone(), now);
            let held = Held { standing, certificate: certificate.clone() };
            for name in hosts.intersection(name).filter(|name| !excepted(except, name)) {
                match name {
                    HostPattern::Exact(host) => {
                        if self.exact.get(host).is_none_or(|other| held.standing < other.standing) {
                            self.exact.insert(host.clone(), held.clone());
                        }
                    }
                    HostPattern::Wildcard(suffix) => {
                        wildcards.entry(suffix.clone()).or_default().push((held.clone(), except.clone()));
                    }
                    HostPattern::Any => continue,
                }
                claimed = true;
            }
        }
        if claimed {
            None
        } else if certificate.names().is_empty() {
            Some(Problem::nameless(source))
        } else {
            let names: Vec<_> = certificate.names().iter().map(ToString::to_string).collect();
            Some(Problem::covers_none(source, &names.join(", ")))
        }
    }

    /// Settles who answers below each wildcard, so that a look-up can stop at its first hit.
    ///
    /// An exact entry stays only where it is better than the wildcard's: an expired certificate of a host's own does not hide a
    /// valid wildcard. And a host that the wildcard's holder may not answer gets an entry of its own, the best of the other
    /// claimants', or is barred.
    fn settle(&mut self, wildcards: HashMap<HostName, Claimants>) {
        let mut exact_by_parent: HashMap<HostName, Vec<HostName>> = HashMap::new();
        for host in self.exact.keys() {
            if let Some(suffix) = parent(host.as_str()).and_then(|suffix| suffix.parse().ok()) {
                exact_by_parent.entry(suffix).or_default().push(host.clone());
            }
        }
        for (suffix, mut claimants) in wildcards {
            claimants.sort_by(|(a, _), (b, _)| a.standing.cmp(&b.standing));
            let Some((holder, _)) = claimants.first() else { continue };
            let protected = claimants.iter().flat_map(|(_, except)| except.iter()).filter_map(|pattern| match pattern {
                HostPattern::Exact(host) if parent(host.as_str()) == Some(suffix.as_str()) => Some(host),
                _ => None,
            });
            let below = exact_by_parent.get(&suffix).map_or(&[][..], Vec::as_slice).iter();
            for host in protected.chain(below).collect::<HashSet<_>>() {
                let name = HostPattern::Exact(host.clone());
                let wildcard = claimants.iter().find(|(_, except)| !excepted(except, &name)).map(|(held, _)| held);
                let best = self.exact.get(host).into_iter().chain(wildcard).min_by(|a, b| a.standing.cmp(&b.standing));
                match best.cloned() {
                    Some(best) if best == *holder => drop(self.exact.remove(host)),
                    Some(best) => drop(self.exact.insert(host.clone(), best)),
                    None => drop(self.barred.insert(host.clone())),
                }
            }
            self.wildcard.insert(suffix, holder.clone());
        }
    }

    /// The certificate for a client that asked for `sni`: an exact entry, else one-label wildcard, else the default.
    ///
    /// Upper case and a trailing dot make no difference; only upper case costs an allocation.
    pub fn choose(&self, sni: Option<&str>) -> Choice<'_> {
        match sni.and_then(|host| self.find(host)) {
            Some(held) => {
                let matched = if held.standing.by_wildcard { Match::Wildcard } else { Match::Exact };
                Choice { certificate: &held.certificate, matched }
            }
            None => Choice { certificate: &self.default.certificate, matched: Match::Default },
        }
    }

    /// Whether a client that asked for `host` would be shown another certificate than the default one.
    pub fn has(&self, host: &str) -> bool {
        self.find(host).is_some()
    }

    fn find(&self, host: &str) -> Option<&Held> {
        let host = normal(host);
        self.exact.get(&*host).or_else(|| self.wildcard.get(parent(&host)?).filter(|_| !self.barred.contains(&*host)))
    }

    /// When, in Unix time, the passing of time alone makes another index or other problems: a certificate becomes
    /// valid, comes near its end, or expires. Rebuild then.
    pub fn changes_at(&self) -> Option<i64> {
        self.changes_at
    }

    /// Every name that is served, sorted, with the default certificate last.
    pub fn entries(&self) -> Vec<IndexEntry<'_>> {
        let exact = self.exact.iter().map(|(host, held)| held.entry(HostPattern::Exact(host.clone())));
        let wildcard = self.wildcard.iter().map(|(suffix, held)| held.entry(HostPattern::Wildcard(suffix.clone())));
        let mut entries: Vec<_> = exact.chain(wildcard).chain([self.default.entry(HostPattern::Any)]).collect();
        entries.sort();
        entries
    }
}

/// An offer whose certificate can be used.
struct Claim {
    source: Arc<str>,
    rank: u32,
    hosts: Allowed,
    except: Rc<HashSet<HostPattern>>,
    certificate: Arc<Certificate>,
}

fn excepted(except: &HashSet<HostPattern>, name: &HostPattern) -> bool {
    !except.is_empty() && (except.contains(name) || except.iter().any(|pattern| pattern.covers(name)))
}

impl Allowed {
    /// What of `name` is allowed: the name itself, or of a wildcard the single hosts; some perhaps more than once.
    fn intersection<'a>(&'a self, name: &'a HostPattern) -> impl Iterator<Item = &'a HostPattern> {
        let (any, hosts) = match self {
            Self::Any => (true, [].as_slice()),
            Self::Hosts(hosts) => (false, hosts.as_slice()),
        };
        let narrowed = hosts.iter().filter_map(move |host| {
            if host.covers(name) {
                Some(name)
            } else if name.covers(host) {
                Some(host)
            } else {
                None
            }
        });
        any.then_some(name).into_iter().chain(narrowed)
    }
}

impl Standing {
    fn of(certificate: &Certificate, by_wildcard: bool, rank: u32, source: Arc<str>, now: i64) -> Self {
        Self {
            invalid_now: !certificate.validity().contains(now),
            by_wildcard,
            rank,
            not_after: Reverse(certificate.validity().not_after),
            source,
            fingerprint: certificate.fingerprint(),
        }
    }
}

impl Held {
    fn entry(&self, name: HostPattern) -> IndexEntry<'_> {
        IndexEntry { name, source: &self.standing.source, not_after: self.standing.not_after.0 }
    }
}

/// The next moment after `now` at which something is to be said of `certificate` that is not said at `now`.
fn next_change(certificate: &Certificate, now: i64) -> Option<i64> {
    let validity = certificate.validity();
    let moments =
        [validity.not_before, validity.not_after.saturating_sub(EXPIRES_SOON) + 1, validity.not_after.saturating_add(1)];
    moments.into_iter().filter(|moment| *moment > now).min()
}

#[cfg(test)]
mod tests;

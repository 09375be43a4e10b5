#![allow(clippy::unwrap_used)]

mod reference;

use std::sync::LazyLock;

use super::*;
use crate::error::Part;
use crate::problem::Severity;
use crate::testing::*;

fn default_offer() -> DefaultOffer {
    static DEFAULT: LazyLock<Arc<Certificate>> = LazyLock::new(|| cert(&["default.example.net"]));
    DefaultOffer { source: "default".into(), certificate: DEFAULT.clone() }
}

fn offer(source: &str, certificate: &Arc<Certificate>) -> Offer {
    Offer { source: source.into(), rank: 0, hosts: Allowed::Any, except: Vec::new(), certificate: Ok(certificate.clone()) }
}

fn allowed(hosts: &[&str]) -> Allowed {
    Allowed::Hosts(hosts.iter().map(|host| host.parse().unwrap()).collect())
}

fn build(offers: Vec<Offer>) -> (CertIndex, Vec<Problem>) {
    CertIndex::build(offers, default_offer(), NOW)
}

/// Which source answers `host`, and how.
fn answer(index: &CertIndex, host: &str) -> (String, Match) {
    let choice = index.choose(Some(host));
    let held = index.find(host).unwrap_or(&index.default);
    assert_eq!(choice.certificate, &held.certificate);
    (held.standing.source.to_string(), choice.matched)
}

/// The same, for both orders of two offers.
fn winner(a: Offer, b: Offer, host: &str) -> String {
    let (there, back) = (build(vec![a.clone(), b.clone()]).0, build(vec![b, a]).0);
    assert_eq!(answer(&there, host), answer(&back, host), "the order of offers must not matter");
    answer(&there, host).0
}

#[test]
fn exact_comes_before_wildcard_before_default() {
    let (index, problems) = build(vec![offer("wildcard", &cert(&["*.example.com"])), offer("exact", &cert(&["a.example.com"]))]);
    assert_eq!(problems, []);
    assert_eq!(answer(&index, "a.example.com"), ("exact".into(), Match::Exact));
    assert_eq!(answer(&index, "b.example.com"), ("wildcard".into(), Match::Wildcard));
    assert_eq!(answer(&index, "example.com"), ("default".into(), Match::Default));
    assert_eq!(index.choose(None).matched, Match::Default);
}

#[test]
fn exact_comes_before_wildcard_whatever_the_rank() {
    let exact = Offer { rank: 9, ..offer("exact", &cert(&["a.example.com"])) };
    let wildcard = offer("wildcard", &cert(&["*.example.com"]));
    assert_eq!(winner(exact.clone(), wildcard.clone(), "a.example.com"), "exact");
    let narrowed = Offer { hosts: allowed(&["a.example.com"]), ..wildcard };
    assert_eq!(winner(exact, narrowed, "a.example.com"), "exact", "being narrowed is no gain");
}

#[test]
fn a_wildcard_answers_one_label_only() {
    let (index, _) = build(vec![offer("wildcard", &cert(&["*.example.com"]))]);
    for host in ["example.com", "a.b.example.com", ".example.com", "", ".", "com"] {
        assert_eq!(answer(&index, host).1, Match::Default, "{host:?}");
    }
}

#[test]
fn case_and_a_trailing_dot_make_no_difference() {
    let (index, _) = build(vec![offer("a", &cert(&["A.example.com", "*.Example.org"]))]);
    for host in ["A.EXAMPLE.com", "a.example.com.", "X.example.ORG."] {
        assert!(index.has(host), "{host}");
    }
}

#[test]
fn valid_comes_before_expired_and_not_yet_valid_whatever_the_rank() {
    let valid = Offer { rank: 9, ..offer("valid", &cert_valid(&["a.example.com"], NOW - DAY, NOW + DAY)) };
    let expired = offer("expired", &cert_valid(&["a.example.com"], NOW - 9 * DAY, NOW - 1));
    let future = offer("future", &cert_valid(&["a.example.com"], NOW + 1, NOW + 99 * DAY));
    assert_eq!(winner(valid.clone(), expired, "a.example.com"), "valid");
    assert_eq!(winner(valid, future, "a.example.com"), "valid");
}

#[test]
fn a_valid_wildcard_comes_before_an_expired_exact_name() {
    let expired = offer("expired", &cert_valid(&["a.example.com"], NOW - 9 * DAY, NOW - 1));
    let wildcard = Offer { rank: 9, ..offer("wildcard", &cert(&["*.example.com"])) };
    assert_eq!(winner(expired, wildcard, "a.example.com"), "wildcard");
}

#[test]
fn an_expired_certificate_still_comes_before_the_default() {
    let (index, _) = build(vec![offer("expired", &cert_valid(&["a.example.com"], NOW - 9 * DAY, NOW - 1))]);
    assert_eq!(answer(&index, "a.example.com"), ("expired".into(), Match::Exact));
}

#[test]
fn the_lower_rank_comes_before_the_later_end() {
    let low = Offer { rank: 1, ..offer("low", &cert_valid(&["a.example.com"], NOW - DAY, NOW + 20 * DAY)) };
    let high = Offer { rank: 2, ..offer("high", &cert_valid(&["a.example.com"], NOW - DAY, NOW + 90 * DAY)) };
    assert_eq!(winner(low, high, "a.example.com"), "low");
}

#[test]
fn the_later_end_wins_among_equals() {
    let (old, new) =
        (cert_valid(&["a.example.com"], NOW - DAY, NOW + 20 * DAY), cert_valid(&["a.example.com"], NOW - DAY, NOW + 21 * DAY));
    assert_eq!(winner(offer("a", &old), offer("b", &new), "a.example.com"), "b");
}

#[test]
fn the_source_decides_where_nothing_else_does() {
    let same = cert(&["a.example.com"]);
    assert_eq!(winner(offer("b", &same), offer("a", &same), "a.example.com"), "a");
}

#[test]
fn a_wildcard_certificate_offered_for_one_host_answers_that_host_only() {
    let wildcard = Offer { hosts: allowed(&["a.example.com", "a.example.org"]), ..offer("w", &cert(&["*.example.com"])) };
    let (index, problems) = build(vec![wildcard]);
    assert_eq!(problems, []);
    assert_eq!(answer(&index, "a.example.com"), ("w".into(), Match::Wildcard));
    for host in ["b.example.com", "a.example.org", "example.com"] {
        assert!(!index.has(host), "{host}");
    }
}

#[test]
fn a_certificate_answers_none_of_its_names_that_are_not_allowed() {
    let certificate = cert(&["a.example.com", "b.example.com", "a.other.com", "*.deep.example.com"]);
    let (index, _) = build(vec![Offer { hosts: allowed(&["*.example.com"]), ..offer("a", &certificate) }]);
    assert!(index.has("a.example.com") && index.has("b.example.com"));
    assert!(!index.has("a.other.com"));
    assert!(!index.has("x.deep.example.com"), "a wildcard stands for one label on both sides");

    let wildcard = cert(&["*.example.com"]);
    let (index, _) = build(vec![Offer { hosts: allowed(&["*.example.com"]), ..offer("a", &wildcard) }]);
    assert!(index.has("x.example.com"));
    let (index, _) = build(vec![Offer { hosts: allowed(&["*"]), ..offer("a", &wildcard) }]);
    assert!(index.has("x.example.com"), "`*` allows any host");
    let (index, problems) = build(vec![Offer { hosts: allowed(&[]), ..offer("a", &wildcard) }]);
    assert!(!index.has("x.example.com"), "nothing allowed, nothing served");
    assert_eq!(problems.len(), 1);
}

#[test]
fn broken_and_useless_certificates_are_told_with_source_and_remedy() {
    let broken = |source: &str, error| Offer { certificate: Err(error), ..offer(source, &cert(&["a.example.com"])) };
    let (index, problems) = build(vec![
        broken("Secret azure:bank/one", CertError::Mismatch),
        broken("Secret azure:bank/two", CertError::Missing(Part::Key)),
        Offer { hosts: allowed(&["b.example.com"]), ..offer("Secret azure:bank/three", &cert(&["a.example.com", "*.c.com"])) },
        offer("Secret azure:bank/four", &cert(&["192.0.2.1"])),
    ]);
    assert!(!index.has("a.example.com") && !index.has("b.example.com"));
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "error: Secret azure:bank/four: it names no host, so that no client's server name can choose it; have it issued with \
         the hosts as subject alternative names",
            "error: Secret azure:bank/one: matching the pair: the key does not belong to the certificate; store certificate and \
         key of the same issuance; a renewal must replace both at once",
            "error: Secret azure:bank/three: it is for a.example.com, *.c.com, and for none of the hosts that it may serve; have it \
         issued for the hosts of `spec.tls`, or correct those",
            "error: Secret azure:bank/two: reading the key: there is no key in it; it must have a line `-----BEGIN PRIVATE \
         KEY-----` (or `RSA` or `EC PRIVATE KEY`); convert DER with `openssl pkey -inform der`",
        ]
    );
}

#[test]
fn validity_is_told_from_14_days_before_its_end() {
    let problem = |not_before, not_after| {
        let problems = build(vec![offer("a", &cert_valid(&["a.example.com"], not_before, not_after))]).1;
        problems.first().map(|p| (p.severity, p.problem.clone()))
    };
    let from = NOW - DAY;
    assert_eq!(problem(from, NOW + 14 * DAY), None);
    let soon = "it expires at 2027-01-29T07:59:59Z".to_owned();
    assert_eq!(problem(from, NOW + 14 * DAY - 1), Some((Severity::Warning, soon)));
    assert_eq!(problem(from, NOW), Some((Severity::Warning, "it expires at 2027-01-15T08:00:00Z".into())));
    assert_eq!(problem(from, NOW - 1), Some((Severity::Error, "it expired at 2027-01-15T07:59:59Z".into())));
    let early = "it is not valid before 2027-01-15T08:00:01Z".to_owned();
    assert_eq!(problem(NOW + 1, NOW + 99 * DAY), Some((Severity::Error, early)));
}

#[test]
fn the_default_certificate_is_watched_like_any_other() {
    let certificate = cert_valid(&["a.example.com"], NOW - 9 * DAY, NOW - 1);
    let problems = CertIndex::build(vec![], DefaultOffer { source: "tls.default".into(), certificate }, NOW).1;
    assert_eq!(problems.iter().map(|p| p.source.as_str()).collect::<Vec<_>>(), ["tls.default"]);
}

#[test]
fn a_source_that_breaks_serves_its_last_good_certificate_for_the_hosts_allowed_now() {
    let good = offer("a", &cert(&["*.example.com"]));
    let broken = Offer { certificate: Err(CertError::Mismatch), hosts: allowed(&["x.example.com"]), ..good.clone() };
    let (first, _) = build(vec![good]);
    let (second, problems) = first.rebuild(vec![broken.clone()], default_offer(), NOW);
    assert!(second.has("x.example.com") && !second.has("y.example.com"));
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].severity, Severity::Warning);
    assert!(problems[0].problem.ends_with("the certificate that it held before serves on"), "{}", problems[0]);

    let (third, _) = second.rebuild(vec![broken.clone()], default_offer(), NOW);
    assert!(third.has("x.example.com"), "however often it is broken");
    let (gone, _) = third.rebuild(vec![], default_offer(), NOW);
    assert!(!gone.has("x.example.com"), "a source that is gone is gone");
    let (back, problems) = gone.rebuild(vec![broken], default_offer(), NOW);
    assert!(!back.has("x.example.com"));
    assert_eq!(problems[0].severity, Severity::Error);
}

#[test]
fn the_index_says_when_time_alone_will_change_it() {
    let changes_at = |offers: Vec<Offer>, now| {
        let far = DefaultOffer { source: "default".into(), certificate: cert_valid(&["d"], NOW - DAY, NOW + 9999 * DAY) };
        CertIndex::build(offers, far, now).0.changes_at().unwrap()
    };
    let one = || vec![offer("a", &cert_valid(&["a.example.com"], NOW + 5, NOW + 90 * DAY))];
    assert_eq!(changes_at(one(), NOW), NOW + 5, "it becomes valid");
    assert_eq!(changes_at(one(), NOW + 5), NOW + 76 * DAY + 1, "it comes near its end");
    assert_eq!(changes_at(one(), NOW + 77 * DAY), NOW + 90 * DAY + 1, "it expires");
    assert_eq!(changes_at(one(), NOW + 91 * DAY), changes_at(vec![], NOW), "only the default is left");
}

#[test]
fn entries_list_every_name_with_its_source_and_end() {
    let (index, _) = build(vec![
        offer("b", &cert(&["b.example.com", "*.example.com"])),
        Offer { hosts: allowed(&["x.example.org"]), ..offer("a", &cert(&["*.example.org"])) },
    ]);
    let listed: Vec<_> = index.entries().into_iter().map(|e| (e.name.to_string(), e.source.to_owned(), e.not_after)).collect();
    let end = NOW + 90 * DAY;
    assert_eq!(
        listed,
        [
            ("b.example.com".into(), "b".into(), end),
            ("x.example.org".into(), "a".into(), end),
            ("*.example.com".into(), "b".into(), end),
            ("*".into(), "default".into(), end),
        ]
    );
}

#[test]
fn a_wildcard_does_not_answer_for_a_host_that_is_somebody_elses() {
    let evil = cert(&["*.example.com", "bank.example.com"]);
    let evil = Offer { except: vec!["bank.example.com".parse().unwrap()], ..offer("evil", &evil) };
    let (index, _) = build(vec![evil.clone()]);
    assert_eq!(index.choose(Some("bank.example.com")).matched, Match::Default);
    assert!(!index.has("bank.example.com"));
    assert_eq!(index.choose(Some("other.example.com")).matched, Match::Wildcard);
    let expired = cert_valid(&["bank.example.com"], NOW - 2 * DAY, NOW - DAY);
    let (index, _) = build(vec![evil, Offer { rank: 9, ..offer("bank", &expired) }]);
    assert_eq!(index.choose(Some("bank.example.com")).certificate, &expired, "even its expired one is its own");
}

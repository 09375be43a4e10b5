//! What is wrong with the certificates on offer, said to the person who can mend it.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::certificate::Validity;
use crate::error::CertError;

/// Let's Encrypt's clients renew 30 days ahead; with half of that left, somebody has to look.
pub(crate) const EXPIRES_SOON: i64 = 14 * 24 * 60 * 60;

/// A fault in an offered certificate that serving goes on around.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// How much is lost.
    pub severity: Severity,
    /// Where the certificate came from, as its offer said it.
    pub source: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// How much is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something that was asked for is not served, or no client will take it.
    Error,
    /// It is served, perhaps not as intended, or not for long.
    Warning,
}

impl Problem {
    /// A certificate that cannot be used, with nothing to serve in its place.
    pub fn broken(source: &str, error: &CertError) -> Self {
        Self::new(Severity::Error, source, error.problem(), error.remedy())
    }

    /// A certificate that cannot be used, and whose predecessor is kept.
    pub(crate) fn kept(source: &str, error: &CertError) -> Self {
        let problem = format!("{}; the certificate that it held before serves on", error.problem());
        Self::new(Severity::Warning, source, problem, error.remedy())
    }

    /// What there is to say about a certificate's validity at `now`.
    pub(crate) fn validity(source: &str, validity: Validity, now: i64) -> Option<Self> {
        let Validity { not_before, not_after } = validity;
        let (severity, problem, remedy) = if now > not_after {
            (Severity::Error, format!("it expired at {}", date(not_after)), "renew it")
        } else if now < not_before {
            let remedy = "wait for it, or check this machine's clock; until then an older one should serve";
            (Severity::Error, format!("it is not valid before {}", date(not_before)), remedy)
        } else if not_after - now < EXPIRES_SOON {
            (Severity::Warning, format!("it expires at {}", date(not_after)), "renew it, and check why nothing did so by itself")
        } else {
            return None;
        };
        Some(Self::new(severity, source, problem, remedy))
    }

    /// A certificate that is good for none of the hosts it was offered for.
    pub(crate) fn covers_none(source: &str, names: &str) -> Self {
        let problem = format!("it is for {names}, and for none of the hosts that it may serve");
        Self::new(Severity::Error, source, problem, "have it issued for the hosts of `spec.tls`, or correct those")
    }

    /// A certificate without a DNS name.
    pub(crate) fn nameless(source: &str) -> Self {
        let problem = "it names no host, so that no client's server name can choose it";
        Self::new(Severity::Error, source, problem, "have it issued with the hosts as subject alternative names")
    }

    fn new(severity: Severity, source: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity, source: source.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}: {}; {}", self.source, self.problem, self.remedy)
    }
}

/// RFC 3339, or the bare seconds where the year does not fit four digits.
fn date(unix: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{unix} s after 1970"))
}

//! Host against SNI: whether a request came on the wrong connection (421, RFC 9110 section 15.5.20).

use causeway_core::policy::TlsPolicy;

/// Why a connection is the wrong one for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdirected {
    /// The host demands another TLS policy than the connection was accepted under.
    Policy,
    /// The certificate that was served does not cover the host, and there is one that does.
    Certificate,
}

/// Whether a request came on the wrong connection.
///
/// `accepted` is the policy that the connection was accepted under, `demanded` that of the request's host. `covered` says
/// whether the served certificate is valid for the host, `better` whether the index holds one that is; both are asked for
/// HTTP/2 only, where browsers coalesce connections and know what to do with a 421. An HTTP/1.1 client that sends another
/// Host than it named in the handshake means it.
pub fn misdirected(
    accepted: &TlsPolicy,
    demanded: &TlsPolicy,
    h2: bool,
    covered: impl FnOnce() -> bool,
    better: impl FnOnce() -> bool,
) -> Option<Misdirected> {
    if accepted != demanded {
        Some(Misdirected::Policy)
    } else if h2 && !covered() && better() {
        Some(Misdirected::Certificate)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use causeway_config::TlsVersion;

    use super::*;

    fn policy(min_version: TlsVersion, fence: Option<&str>) -> TlsPolicy {
        let fence = fence.map(|cluster| Arc::from([cluster.parse().unwrap()]));
        TlsPolicy { min_version, fence, ..TlsPolicy::default() }
    }

    #[test]
    fn host_against_sni() {
        let plain = policy(TlsVersion::V1_2, None);
        let strict = policy(TlsVersion::V1_3, None);
        let fenced = policy(TlsVersion::V1_2, Some("azure"));
        let known = |ca: &str| TlsPolicy {
            clients: Some(causeway_config::ClientCertificates {
                ca: causeway_config::ClientCa::File(ca.into()),
                optional: false,
            }),
            ..TlsPolicy::default()
        };
        let (partners, others) = (known("partners.crt"), known("others.crt"));
        // accepted, demanded, h2, covered, better, outcome
        let table = [
            (&plain, &plain, false, true, true, None),
            (&plain, &plain, false, false, true, None),
            (&plain, &plain, true, true, true, None),
            (&plain, &plain, true, false, false, None),
            (&plain, &plain, true, false, true, Some(Misdirected::Certificate)),
            (&plain, &strict, false, true, true, Some(Misdirected::Policy)),
            (&strict, &plain, false, true, true, Some(Misdirected::Policy)),
            (&plain, &fenced, true, true, true, Some(Misdirected::Policy)),
            (&fenced, &plain, false, true, true, Some(Misdirected::Policy)),
            (&fenced, &fenced, true, true, true, None),
            (&plain, &partners, false, true, true, Some(Misdirected::Policy)),
            (&partners, &plain, false, true, true, Some(Misdirected::Policy)),
            (&others, &partners, true, true, true, Some(Misdirected::Policy)),
            (&partners, &partners, true, true, true, None),
        ];
        for (accepted, demanded, h2, covered, better, outcome) in table {
            assert_eq!(
                misdirected(accepted, demanded, h2, || covered, || better),
                outcome,
                "{accepted:?} {demanded:?} h2={h2} covered={covered} better={better}"
            );
        }
    }
}

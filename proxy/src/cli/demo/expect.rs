//! What the demo expects to see. Tables and judges, without any IO: the scenes observe, this judges.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The host that the demo asks for most.
pub(super) const WWW: &str = "www.devfest.example.com";

/// The host with an owner and a fence.
pub(super) const BANK: &str = "bank.example.com";

/// The host that is added while requests run.
pub(super) const NEW_HOST: &str = "new.devfest.example.com";

/// Who asks, by an address that `geo.networks` of the fleet knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Germany,
    UnitedStates,
    Singapore,
    /// No network that anybody knows (RFC 5737).
    Nowhere,
}

impl Client {
    pub(super) fn address(self) -> IpAddr {
        IpAddr::from(match self {
            Self::Germany => [85, 214, 0, 1],
            Self::UnitedStates => [8, 8, 8, 8],
            Self::Singapore => [175, 41, 128, 1],
            Self::Nowhere => [192, 0, 2, 1],
        })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Germany => "Germany",
            Self::UnitedStates => "the United States",
            Self::Singapore => "Singapore",
            Self::Nowhere => "nobody knows where",
        })
    }
}

/// Who serves a client, by the edge that is asked: in aws, azure, google.
type ByEdge = [&'static str; 3];

/// Nobody: the answer is a 503 that says why.
pub(super) const FENCED: &str = "503, fenced";

/// Who serves whom while all is well.
pub(super) const SERVED: [(&str, [(Client, ByEdge); 4]); 3] = [
    // Pods everywhere: the client's own continent, whichever edge is asked; of nobody knows where, the edge's own cloud.
    (WWW, EVERYWHERE),
    ("devfest.example.com", EVERYWHERE),
    // Fenced into azure: the other edges send requests there, encrypted, wherever the client is.
    (BANK, FENCED_IN),
];

const EVERYWHERE: [(Client, ByEdge); 4] = [
    (Client::Germany, ["azure", "azure", "azure"]),
    (Client::UnitedStates, ["aws", "aws", "aws"]),
    (Client::Singapore, ["google", "google", "google"]),
    (Client::Nowhere, ["aws", "azure", "google"]),
];

const FENCED_IN: [(Client, ByEdge); 4] = [
    (Client::Germany, ["azure"; 3]),
    (Client::UnitedStates, ["azure"; 3]),
    (Client::Singapore, ["azure"; 3]),
    (Client::Nowhere, ["azure"; 3]),
];

/// Who serves a client in Germany while azure is dark: the nearest of the others, seen from the edge.
pub(super) const WITHOUT_AZURE: ByEdge = ["aws", "aws", "google"];

/// A response, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// What the edge says: `causeway-served-by`.
    pub(super) header: Option<String>,
    /// What the backend said.
    pub(super) body: String,
}

impl Answer {
    /// As [`served_by`](Self::served_by), where a residency fence may stand in the way.
    pub(super) fn served_by_or_fenced(&self) -> Result<String, String> {
        let fenced = self.status == 503 && self.header.is_none() && self.body.contains("residency fence");
        if fenced { Ok(FENCED.into()) } else { self.served_by() }
    }

    /// The cluster that served it, if edge and backend agree.
    pub(super) fn served_by(&self) -> Result<String, String> {
        if self.status != 200 {
            return Err(format!("was answered {}: {}", self.status, self.body.lines().next().unwrap_or_default()));
        }
        match (self.header.as_deref(), backend(&self.body)) {
            (Some(edge), Some(backend)) if edge == backend => Ok(backend.to_owned()),
            (edge, backend) => Err(format!(
                "the edge says that {} served it, the backend says {}",
                edge.unwrap_or("nobody"),
                backend.unwrap_or("nothing")
            )),
        }
    }
}

/// The cluster in whoami's text, or on its page.
fn backend(body: &str) -> Option<&str> {
    let page = || body.split_once("<strong id=\"cluster\">")?.1.split_once('<').map(|(name, _)| name);
    body.lines().find_map(|line| line.strip_prefix("cluster: ")).or_else(page)
}

/// One request of the steady traffic.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) began: Instant,
    pub(super) took: Duration,
    /// Who served it, or how it failed.
    pub(super) served_by: Result<String, String>,
}

/// What became of a stretch of traffic at one edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) sent: usize,
    /// How many each cluster served, in the order of their first.
    pub(super) by: Vec<(String, usize)>,
    /// How the others failed.
    pub(super) failures: Vec<String>,
    pub(super) slowest: Duration,
}

impl Tally {
    pub(super) fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        let mut tally = Self::default();
        for sample in samples {
            tally.sent += 1;
            tally.slowest = tally.slowest.max(sample.took);
            match &sample.served_by {
                Ok(cluster) => match tally.by.iter_mut().find(|(name, _)| name == cluster) {
                    Some((_, count)) => *count += 1,
                    None => tally.by.push((cluster.clone(), 1)),
                },
                Err(failure) => tally.failures.push(failure.clone()),
            }
        }
        tally
    }

    /// What is wrong with it, if nothing may fail and only these clusters may serve.
    pub(super) fn faults(&self, edge: &str, when: &str, allowed: &[&str]) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(first) = self.failures.first() {
            faults.push(format!(
                "{when}, at the edge in {edge}: {} of {} requests failed; the first: {first}",
                self.failures.len(),
                self.sent
            ));
        }
        for (cluster, count) in self.by.iter().filter(|(name, _)| !allowed.contains(&name.as_str())) {
            faults.push(format!(
                "{when}, at the edge in {edge}: {cluster} served {count} requests, expected: {}",
                allowed.join(" or ")
            ));
        }
        if self.sent == 0 {
            faults.push(format!("{when}, at the edge in {edge}: no request was sent"));
        }
        faults
    }

    /// How many each served, for people.
    pub(super) fn servers(&self) -> String {
        let by: Vec<_> = self.by.iter().map(|(cluster, count)| format!("{cluster} {count}")).collect();
        if by.is_empty() { "nobody".into() } else { by.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(header: &str, body: &str) -> Answer {
        Answer { status: 200, header: Some(header.into()), body: body.into() }
    }

    #[test]
    fn edge_and_backend_have_to_agree() {
        assert_eq!(answer("azure", "name: x\ncluster: azure\n").served_by(), Ok("azure".into()));
        assert_eq!(answer("aws", "<p><strong id=\"cluster\">aws</strong></p>").served_by(), Ok("aws".into()));
        let lie = answer("aws", "cluster: azure\n").served_by();
        assert_eq!(lie, Err("the edge says that aws served it, the backend says azure".into()));
        assert!(answer("aws", "hello").served_by().is_err());
        assert!(Answer { header: None, ..answer("", "cluster: aws\n") }.served_by().is_err());
    }

    #[test]
    fn only_200_counts_as_served() {
        let refused = Answer { status: 503, ..answer("aws", "cluster: aws\n") };
        assert_eq!(refused.served_by(), Err("was answered 503: cluster: aws".into()));
    }

    #[test]
    fn a_fence_is_told_from_other_refusals() {
        let refused =
            Answer { status: 503, header: None, body: "nobody inside this host's residency fence can serve it now".into() };
        assert_eq!(refused.served_by_or_fenced(), Ok(FENCED.into()));
        assert!(refused.served_by().is_err());
        assert!(Answer { body: "no backend".into(), ..refused }.served_by_or_fenced().is_err());
    }

    fn sample(served_by: Result<&str, &str>, millis: u64) -> Sample {
        let served_by = served_by.map(Into::into).map_err(Into::into);
        Sample { began: Instant::now(), took: Duration::from_millis(millis), served_by }
    }

    #[test]
    fn a_failure_a_wrong_cluster_and_silence_are_faults() {
        let tally = Tally::of(&[sample(Ok("aws"), 3), sample(Ok("azure"), 9), sample(Ok("aws"), 1), sample(Err("reset"), 2)]);
        assert_eq!(tally.by, [("aws".into(), 2), ("azure".into(), 1)]);
        assert_eq!((tally.sent, tally.slowest), (4, Duration::from_millis(9)));
        let expected = [
            "azure dark, at the edge in google: 1 of 4 requests failed; the first: reset",
            "azure dark, at the edge in google: azure served 1 requests, expected: aws",
        ];
        assert_eq!(tally.faults("google", "azure dark", &["aws"]), expected);
        assert_eq!(Tally::default().faults("aws", "x", &["aws"]), ["x, at the edge in aws: no request was sent"]);
        assert!(Tally::of(&[sample(Ok("aws"), 1)]).faults("aws", "x", &["aws"]).is_empty());
    }
}

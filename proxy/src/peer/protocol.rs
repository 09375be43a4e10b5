//! What edges say to each other: the headers of the hop, and the answers of `/v1`. Pure.
//!
//! Every edge speaks its own version and understands the one before, so that a fleet can be upgraded edge by edge. Fields
//! that an older edge does not know are passed over by it, and those that it does not send have a meaning here.
//!
//! | version | what |
//! |---|---|
//! | 0 | a ping tells who answers; the hop carries pool, client, request id |
//! | 1 | pings tell counts and views; the hop carries the fence and what is left of the time |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use causeway_config::{ClusterId, Country, ObjectName};
use causeway_core::agreement::View;
use causeway_core::counts::{Changes, Told};
use causeway_core::link::{Count, InstanceId};
use causeway_core::peer::Counts;
use causeway_core::pool::PoolKey;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// The version that is spoken here.
pub const VERSION: u32 = 1;
/// The oldest that is understood.
pub const OLDEST: u32 = VERSION - 1;

/// The version of whoever sends the hop. A request without it is none.
pub const HOP: HeaderName = HeaderName::from_static("causeway-hop");
/// `shop/web:80`
pub const POOL: HeaderName = HeaderName::from_static("causeway-pool");
/// The client's address.
pub const CLIENT: HeaderName = HeaderName::from_static("causeway-client");
/// The client's country, where it is known.
pub const COUNTRY: HeaderName = HeaderName::from_static("causeway-country");
/// The clusters that may see the request, where that is restricted.
pub const FENCE: HeaderName = HeaderName::from_static("causeway-fence");
/// What is left until the response's header must have come, in milliseconds. A duration, since clocks differ.
pub const DEADLINE: HeaderName = HeaderName::from_static("causeway-deadline");
/// How often the request has crossed between edges, this time included.
pub const CROSSINGS: HeaderName = HeaderName::from_static("causeway-crossings");
/// The endpoint that the client's session is at, as a tag; 0 where it has none yet. In a response: the one that served.
pub const SESSION: HeaderName = HeaderName::from_static("causeway-session");
/// In a response: who sent it.
pub const INSTANCE: HeaderName = HeaderName::from_static("causeway-instance");
/// In a response: nothing was sent to any pod, so that the request may be tried elsewhere whatever its method.
pub const UNSERVED: HeaderName = HeaderName::from_static("causeway-unserved");
/// In a ping: the generation of the counts that are known.
pub const KNOWN: HeaderName = HeaderName::from_static("causeway-known");

/// The value of [`KNOWN`] of an edge that asks how fresh a state is, and not for the state itself.
pub const BRIEF: &str = "*";

/// What the hop carries besides the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Which pool.
    pub pool: PoolKey,
    /// The client's address.
    pub client: IpAddr,
    /// The client's country.
    pub country: Option<Country>,
    /// The fence of the edge that decided.
    pub fence: Option<Vec<ClusterId>>,
    /// What is left until the response's header must have come.
    pub deadline: Option<Duration>,
    /// How often it has crossed.
    pub crossings: u32,
    /// The endpoint that the client's session is at, where requests of a client stay together; 0: none yet.
    pub session: Option<u64>,
}

/// Why a request is no hop that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopFault {
    /// A field is missing, or is not what it should be.
    Malformed(&'static str),
    /// The edge that sent it speaks a version that is not understood here.
    Version(u32),
}

impl Hop {
    /// As headers.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![
            (HOP, VERSION.into()),
            (POOL, ascii(self.pool.to_string())),
            (CLIENT, ascii(self.client.to_string())),
            (CROSSINGS, self.crossings.into()),
        ];
        headers.extend(self.country.map(|country| (COUNTRY, ascii(country.as_str().to_owned()))));
        headers.extend(self.deadline.map(|left| (DEADLINE, HeaderValue::from(left.as_millis() as u64))));
        headers.extend(self.session.map(|tag| (SESSION, session(tag))));
        if let Some(fence) = &self.fence {
            let names: Vec<&str> = fence.iter().map(ClusterId::as_str).collect();
            headers.push((FENCE, ascii(names.join(","))));
        }
        headers
    }

    /// Out of a request's headers; `None` if it is no hop.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, HopFault> {
        let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
        let Some(version) = field::<u32>(text(&HOP), "causeway-hop")? else { return Ok(None) };
        if !(OLDEST..=VERSION + 1).contains(&version) {
            return Err(HopFault::Version(version));
        }
        let missing = HopFault::Malformed;
        let fence = text(&FENCE).map(|names| names.split(',').map(|name| name.trim().parse::<ClusterId>()).collect());
        Ok(Some(Self {
            pool: text(&POOL).and_then(pool_key).ok_or(missing("causeway-pool"))?,
            client: field(text(&CLIENT), "causeway-client")?.ok_or(missing("causeway-client"))?,
            country: field(text(&COUNTRY), "causeway-country")?,
            fence: fence.transpose().map_err(|_| missing("causeway-fence"))?,
            deadline: field(text(&DEADLINE), "causeway-deadline")?.map(Duration::from_millis),
            crossings: field(text(&CROSSINGS), "causeway-crossings")?.unwrap_or(1),
            session: headers.get(&SESSION).map(|value| session_tag(value).ok_or(missing("causeway-session"))).transpose()?,
        }))
    }
}

fn field<T: std::str::FromStr>(text: Option<&str>, name: &'static str) -> Result<Option<T>, HopFault> {
    text.map(|text| text.parse().map_err(|_| HopFault::Malformed(name))).transpose()
}

/// The tag of an endpoint, in hexadecimal digits.
pub fn session(tag: u64) -> HeaderValue {
    ascii(format!("{tag:016x}"))
}

/// The tag that a field tells.
pub fn session_tag(value: &HeaderValue) -> Option<u64> {
    u64::from_str_radix(value.to_str().ok()?, 16).ok()
}

/// `shop/web:80`
pub fn pool_key(text: &str) -> Option<PoolKey> {
    let (service, port) = text.rsplit_once(':')?;
    Some(PoolKey { service: service.parse::<ObjectName>().ok()?, port: port.parse().ok()? })
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown"))
}

/// The answer to a ping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// The version that is spoken there.
    pub version: u32,
    /// The oldest that is understood there.
    #[serde(default)]
    pub oldest: u32,
    /// Who answers.
    pub instance: String,
    /// Where it lives.
    pub cluster: ClusterId,
    /// Its release.
    #[serde(default)]
    pub software: String,
    /// The hash of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_hash: Option<String>,
    /// Whether it is up to date with its own API server.
    #[serde(default)]
    pub synced: bool,
    /// Its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<CountsAnswer>,
    /// How it sees the clusters.
    #[serde(default)]
    pub views: BTreeMap<ClusterId, View>,
}

/// The pods of an edge's cluster, or what changed of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountsAnswer {
    /// What will be known after it.
    pub generation: u64,
    /// What must be known before; without it, this is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// By pool; nothing for one that is gone.
    pub pools: BTreeMap<String, Option<Count>>,
}

impl CountsAnswer {
    /// For an edge that knows `known`.
    pub fn new(generation: u64, known: Option<u64>, told: Told) -> Self {
        let text = |key: &PoolKey| {
            let mut text = String::new();
            let _ = write!(text, "{key}");
            text
        };
        match told {
            Told::All(all) => {
                let pools = all.iter().map(|(key, count)| (text(key), Some(*count))).collect();
                Self { generation, since: None, pools }
            }
            Told::Changes(changes) => {
                let pools = changes.iter().map(|(key, count)| (text(key), *count)).collect();
                Self { generation, since: known, pools }
            }
        }
    }

    /// What is known after it; `None` where it does not follow on what is known, and all must be asked for.
    pub fn applied(self, known: Option<(u64, &Counts)>) -> Option<(u64, Counts)> {
        let changes: Changes = self.pools.into_iter().filter_map(|(key, count)| Some((pool_key(&key)?, count))).collect();
        let mut counts = match (self.since, known) {
            (None, _) => Counts::new(),
            (Some(since), Some((generation, counts))) if since == generation => counts.clone(),
            _ => return None,
        };
        causeway_core::counts::apply(&mut counts, changes);
        Some((self.generation, counts))
    }
}

impl Probe {
    /// Who answers, if the text is an id.
    pub fn instance(&self) -> Option<InstanceId> {
        InstanceId::parse(&self.instance)
    }

    /// Whether both sides understand each other.
    pub fn understood(&self) -> bool {
        (OLDEST..).contains(&self.version) && self.oldest <= VERSION
    }
}

#[cfg(test)]
#[path = "protocol/tests.rs"]
mod tests;

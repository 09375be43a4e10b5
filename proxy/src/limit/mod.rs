//! Limits that are counted: connections, handshakes, requests of one client, requests of one pool, memory.
//!
//! Time limits are enforced where time passes, in [`listen`](crate::listen) and [`service`](crate::service). Each limit's
//! reason and default stand in docs/security.md.

mod gate;
mod keyed;
mod memory;
mod queue;
mod rate;

pub use gate::{Gate, Pass};
pub use queue::{Ended, Queues, Turn};
pub use rate::RateLimits;

use std::net::IpAddr;

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 host has to itself (RFC 4291 section 2.5.4), since it
/// can take a new address within it for every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// The address.
    V4([u8; 4]),
    /// The network.
    V6([u8; 8]),
}

impl From<IpAddr> for ClientKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let mut network = [0; 8];
                network.copy_from_slice(&v6.octets()[..8]);
                Self::V6(network)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_network_of_64_bits_is_one_client() {
        let key = |text: &str| ClientKey::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::2"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
    }
}

//! Listeners: from a bound port to a connection that the engine serves.
//!
//! ```text
//! accept --> PROXY protocol --> ClientHello --> certificate, TLS policy --> handshake --> ClientIo --> engine
//!                          \--> the preface of HTTP/2, or not (plain) -----------------^
//! ```
//!
//! The engine's own listeners are not used. They cannot choose a `ServerConfig` per `ClientHello`, read PROXY protocol on a
//! plain port, or bound the time of a request's head; and an accept loop of our own is what draining hangs on.

mod accept;
mod client;
mod client_ca;
mod connection;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
pub(crate) mod http1;
mod io;
mod limits;
mod misdirected;
mod preface;
mod proxy_protocol;
mod pulse;
mod recorder;
mod screen;
mod socket;
mod strict;
pub mod tls;

use std::net::SocketAddr;

pub(crate) use accept::with_drain;
pub use accept::{accept, bind};
pub use client::ClientDoor;
pub use client_ca::ClientCas;
pub use connection::{Connection, Errand, PeerFacts, Role, Stage, Timeouts, TlsFacts};
pub use http1::{KEEP_ALIVE, PLAIN_KEEP_ALIVE};
pub use io::ClientIo;
pub use limits::IoLimits;
pub use misdirected::{Misdirected, misdirected};
pub use proxy_protocol::ProxyProtocolError;
pub use strict::HeadLimits;

/// Why a listener cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error("listen.{listener}: {address} is already in use: stop what listens there, or choose another port")]
    InUse {
        /// The listener's name in the configuration.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Ports below 1024 need a permission.
    #[error("listen.{listener}: no permission to listen on {address}: grant CAP_NET_BIND_SERVICE, or choose a port from 1024 on")]
    Forbidden {
        /// The listener's name in the configuration.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// The machine has no such address.
    #[error("listen.{listener}: this machine has no address {}: use one of its own, or 0.0.0.0 or [::] for all", .address.ip())]
    NotHere {
        /// The listener's name in the configuration.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("listen.{listener}: cannot listen on {address}: {source}")]
    Other {
        /// The listener's name in the configuration.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ListenError {
    fn bind(listener: &'static str, address: SocketAddr, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::AddrInUse => Self::InUse { listener, address },
            std::io::ErrorKind::PermissionDenied => Self::Forbidden { listener, address },
            std::io::ErrorKind::AddrNotAvailable => Self::NotHere { listener, address },
            _ => Self::Other { listener, address, source },
        }
    }
}

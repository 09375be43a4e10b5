//! The handover: a new process takes the place of the one that runs, on the same machine and the same sockets.
//!
//! ```text
//! new                                    old
//!  |-- connects to handover.socket ------>|
//!  |-- Hello ---------------------------->|   who it is, how long it may take
//!  |<- Welcome, listening sockets --------|   and what it has learned (cargo)
//!  |   starts: files, clusters, certificates; nothing of it is seen from outside
//!  |   opens every door ................. |   both accept from the same queues
//!  |-- Ready ---------------------------->|
//!  |                                      |   accepts no more
//!  |<- Released --------------------------|
//!  |   waits on handover.socket itself    |   drains: what is under way ends there
//! ```
//!
//! A listening socket is never closed on the way, so no connection is ever refused, and none waits for an accept that does not
//! come. Until Ready the old process has given nothing away: whatever happens to the new one, it serves on.
//!
//! Two processes of one user meet here and nobody else: the socket's mode is 0600, and each asks the kernel who the other one
//! is (`SO_PEERCRED`).

mod cargo;
mod offer;
mod takeover;
mod wire;

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use cargo::Cargo;
pub use offer::{Offer, Source};
pub use takeover::{Predecessor, Sockets};
pub use wire::WireError;

/// What a new process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Request {
    /// It begins to take over.
    Hello {
        /// Which process it is, for the log.
        instance: String,
        /// Its version.
        version: String,
        /// How long it may take until it is ready, in milliseconds.
        patience_ms: u64,
    },
    /// It serves.
    Ready,
}

/// What the process that runs answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Reply {
    /// To Hello; the sockets come with it, in this order.
    Welcome {
        /// Which process it is, for the log.
        instance: String,
        /// Its version.
        version: String,
        /// What each socket is.
        sockets: Vec<Listening>,
        /// What it knows.
        cargo: Box<Cargo>,
    },
    /// To Ready.
    Released,
    /// To either.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A listening socket: which listener's, and the address as the configuration wrote it, port 0 included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// `https`, as in the configuration.
    pub listener: String,
    /// As in the configuration.
    pub bind: SocketAddr,
}

/// Why there is no handover.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The socket cannot be used.
    #[error("handover.socket: {} cannot be {doing}: {source}; its folder must be there, and belong to this process's user", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The other process is not ours.
    #[error("handover.socket: the process at the other end belongs to user {0}, and this one to another: run both as one user")]
    Foreign(u32),
    /// It did not go as it should.
    #[error("handover from the process that runs: {0}")]
    Wire(#[from] WireError),
    /// The other process does not want to.
    #[error("the process that runs refuses the handover: {0}")]
    Refused(String),
}

/// Takes only a process of this one's user, or the machine's own.
fn check_peer(stream: &UnixStream) -> Result<(), HandoverError> {
    let foreign = |error: std::io::Error| HandoverError::Wire(error.into());
    // Asked by way of tokio, which knows that a process of another PID namespace, as another pod's is, has no number here.
    let copy = stream.try_clone().map_err(foreign)?;
    copy.set_nonblocking(true).map_err(foreign)?;
    let peer = tokio::net::UnixStream::from_std(copy).and_then(|peer| peer.peer_cred()).map_err(foreign)?.uid();
    stream.set_nonblocking(false).map_err(foreign)?;
    // The owner of a process's folder there is its effective user.
    let own = std::fs::metadata("/proc/self").map_err(foreign)?.uid();
    if peer == own || peer == 0 { Ok(()) } else { Err(HandoverError::Foreign(peer)) }
}

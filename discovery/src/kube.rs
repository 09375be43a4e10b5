//! An API server as a cluster, watched for years.
//!
//! ```text
//! kubeconfig, service account --Access--> Client --Evidence--+--> Watch (a task a kind) --News--+--> Follower --> Publisher
//!                                                            +--> Secrets by name --------------+       |
//!                                          disk <--Cache------------------------------------------------+
//! ```
//!
//! `Follower` is the pure middle: it decides what is believed. Everything here only carries: tidings to it, states from
//! it, and the passing of time. What may go wrong with an API server ends as a diagnostic and a stale state, never as a
//! state that lacks what was there.

mod access;
mod account;
mod by_name;
mod cache;
mod evidence;
mod fault;
mod follower;
pub mod rbac;
mod source;
mod stats;
mod watch;

use std::time::Duration;

pub use access::{Access, AccessError};
pub use account::{Account, AccountError};
pub use cache::{Cache, CacheError};
pub use evidence::Evidence;
pub use fault::Cause;
pub use source::ApiServerSource;
pub use stats::Stats;

/// How long things are waited for. The defaults are for servers across an ocean; tests have less patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// No response, and no byte of a body, for this long: there will be none.
    pub silence: Duration,
    /// A kind that was not heard of for this long makes its cluster stale. Longer than `silence`, after which a watch that has
    /// nothing to tell is opened anew.
    pub stale: Duration,
    /// How often silence and credentials are looked at.
    pub tick: Duration,
    /// How often a server that cannot be used is tried, and a silent one asked whether it is back.
    pub retry: Duration,
    /// The first wait after a fault of a watch; it doubles up to `longest`.
    pub shortest: Duration,
    /// The longest wait after a fault.
    pub longest: Duration,
    /// A watch that fails sooner than this after it was tried again has learned nothing in between.
    pub at_once: Duration,
    /// How long after a list that is not believed the second one is made.
    pub second_list: Duration,
    /// How often Secrets that no watch tells of are asked for.
    pub by_name: Duration,
    /// How often a changed state is saved at most.
    pub save: Duration,
    /// How often a state that did not change is noted to be true still.
    pub confirm: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(25),
            stale: Duration::from_secs(30),
            tick: Duration::from_secs(1),
            retry: Duration::from_secs(5),
            shortest: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            at_once: Duration::from_secs(5),
            second_list: Duration::from_secs(10),
            by_name: Duration::from_mins(1),
            save: Duration::from_secs(30),
            confirm: Duration::from_mins(1),
        }
    }
}

const USER_AGENT: &str = concat!("causeway/", env!("CARGO_PKG_VERSION"));

//! The configuration of a fleet: one YAML file, the same for every edge.
//!
//! The file goes through three forms. [`raw`] mirrors it field by field and knows nothing but shapes; [`parse()`] turns
//! that into a checked [`Config`], collecting *every* fault with its place; the rest of Causeway only ever sees the
//! checked form, so that no code downstream has to ask again whether a host name is a host name.
//!
//! This crate is the leaf of the workspace: it depends on none of the others.

mod diff;
mod error;
mod geography;
mod home;
mod ids;
mod limits;
mod model;
mod parse;
pub mod raw;
mod regions;
mod revoked;
mod schema;
mod tree;
mod watch;

pub use diff::restart_needed;
pub use error::{ConfigErrors, Fault, FaultKind, MAX_FAULTS};
pub use geography::{Continent, Coordinates, Country, Subdivision};
pub use home::HomeError;
pub use ids::{CaRef, ClusterId, HostName, HostPattern, InvalidName, ObjectName, Owner, Scope};
pub use limits::{Concurrency, Http2Limits, Limits, MemoryLimit, RateKey, RateLimit};
pub use model::*;
pub use parse::{ConfigHash, MAX_FILE_SIZE, Parsed, load, parse};
pub use regions::{coordinates as region_coordinates, names as region_names};
pub use revoked::CertificateId;
pub use schema::schema;
pub use watch::{Watch, WatchError, watch};

//! The configuration of a fleet: one YAML file, the same for every edge.
//!
//! The file goes through three forms. [`raw`] mirrors it field by field and knows nothing but shapes; [`parse`] turns
//! that into a checked [`Config`], collecting *every* fault with its place; the rest of Causeway only ever sees the
//! checked form, so that no code downstream has to ask again whether a host name is a host name.
//!
//! This crate is the leaf of the workspace: it depends on none of the others.

mod geography;
mod ids;
mod model;
mod regions;

pub use geography::{Continent, Coordinates, Country, Subdivision};
pub use ids::{ClusterId, HostName, HostPattern, InvalidName, ObjectName, Owner, Scope};
pub use model::*;

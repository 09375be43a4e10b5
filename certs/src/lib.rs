//! The certificates of an edge: from PEM bytes to the rustls configuration that answers one client.
//!
//! ```text
//! PEM bytes --from_pem--> Certificate --offered for hosts--> CertIndex --publish--> CertCell
//!                                                                                      |
//!                             ClientHello's name --server_config_for--> ServerConfig + Served
//! ```
//!
//! This crate knows no Kubernetes: whoever reads Secrets hands their bytes over as an [`Offer`], together with the
//! hosts that the Secret's namespace may speak for. Everything but [`files`] is free of IO, and `now` is always an
//! argument, in seconds of Unix time. Private keys enter through [`Certificate::from_pem`] and never leave again.

mod authorities;
mod certificate;
mod chain;
mod clients;
mod error;
pub mod files;
mod fingerprint;
pub mod fleet_ca;
mod fleet_trust;
mod index;
mod names;
mod pem;
mod problem;
mod resolver;
mod self_signed;
mod store;
#[cfg(test)]
mod testing;
mod tickets;
mod tls;

pub use authorities::Authorities;
pub use certificate::{Certificate, Validity};
pub use clients::{ClientAuthorities, forwarded_client_cert};
pub use error::{CertError, Part};
pub use fingerprint::Fingerprint;
pub use fleet_trust::{FleetFiles, FleetTrust, TrustError};
pub use index::{Allowed, CertIndex, Choice, DefaultOffer, IndexEntry, Match, Offer};
pub use pem::PemPair;
pub use problem::{Problem, Severity};
pub use resolver::{Served, server_config_for};
pub use self_signed::{default_certificate, self_signed};
pub use store::{CertCell, CertPublisher};
pub use tickets::TicketSecret;
pub use tls::{ServerTls, Terms, process_tickets};

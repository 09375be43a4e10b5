//! What the clusters of a fleet hold: Kubernetes objects in, [`ClusterState`](causeway_core::cluster::ClusterState) out.
//!
//! ```text
//! folder of YAML --ManifestSource--+                               +--> reuse --> watch cell --+
//! API server    --kube watches-----+--> translate --> Store ------+                            +--> Hub --> Update
//!                                                     one per cluster, behind a Publisher      |
//!                                                                     ... other clusters ------+
//! ```
//!
//! Foreign types stop in [`translate`]; everything behind it is Causeway's own and pure. A [`ClusterSource`] is the only
//! thing that waits for the outside world, and a [`Publisher`] the only thing that it can say something with. Bad input
//! becomes a [`Diagnostic`](causeway_core::diagnostics::Diagnostic) and loses nothing that worked before.
//!
//! Secrets travel beside the states, never in them, and only those that somebody asked for by name.

mod debounce;
mod endpoints;
mod hub;
pub mod kube;
mod manifests;
mod report;
mod reuse;
mod secret;
mod source;
mod store;
pub mod translate;

pub use debounce::Timing;
pub use hub::{Hub, SecretsView, SourceFactory, Update};
pub use manifests::{ManifestSource, load, read};
pub use reuse::reuse;
pub use secret::{CertificatePair, Secret, SecretBytes, SecretError, SecretKind};
pub use source::{Clock, ClusterSource, Publisher, WantedSecrets};
pub use store::Secrets;

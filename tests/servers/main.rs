//! Whole edges that follow three API servers, whoever these are: the stand-in always, real ones where `KUBEBUILDER_ASSETS` names
//! a folder with etcd and kube-apiserver, and the clusters of `CAUSEWAY_TEST_KUBECONFIGS`.
//!
//! API servers refuse endpoints in loopback, the stand-in too. So each test begins itself anew in a network namespace of its own,
//! where the pods' addresses are on `lo`, and everything that they talk to lives there. Clusters that are given are outside of it;
//! with them pods have this machine's own address, and so they have where no namespace can be made.
//!
//! Every test notes on whom it ran; `make test` ends with the sum.
#![allow(clippy::unwrap_used)]

mod boot;
mod edges;
mod follow;
mod manifests;
mod misbehave;
mod network;
mod place;
mod pod;

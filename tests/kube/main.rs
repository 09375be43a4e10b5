//! Discovery against API servers: what it believes, what it forgets (nothing), and what it says when something is wrong.

#![allow(clippy::unwrap_used)]

mod access;
mod account;
mod faults;
mod follow;
mod memory;
mod secrets;
mod support;

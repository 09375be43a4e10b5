//! What is fed with arbitrary bytes: one function for each parser of outside bytes, which holds what it says against what must
//! be true of it, and panics where that is not so.
//!
//! `fuzz/` runs them under libFuzzer (`make fuzz`); the tests here run the seeds in `fuzz/seeds`, and each seed broken in many
//! ways, the same ways every time.

mod files;
mod forwarded;
mod routing;
#[cfg(test)]
mod tests;

/// A target's name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("proxy_header", crate::listen::fuzz::proxy_header),
    ("client_hello", crate::listen::fuzz::client_hello),
    ("http1", crate::listen::fuzz::http1),
    ("forwarded_for", forwarded::forwarded_for),
    ("path", routing::path),
    ("host", routing::host),
    ("config", files::config),
    ("manifests", files::manifests),
];

//! What a process draws for itself where the configuration names no file: the secret behind session tickets and session cookies.
//!
//! A successor inherits it (see [`handover`](crate::handover)), so that an upgrade costs clients neither a full handshake nor
//! their place. It lives in memory only.

use std::fmt;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// As many random bits as the keys that are derived of it have.
const BYTES: usize = 32;

/// The secret of one process, and of those that follow it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessSecret(Zeroizing<String>);

impl ProcessSecret {
    /// A new one; fails where the system has no randomness.
    pub fn draw() -> Result<Self, Unspecified> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        rand::fill(bytes.as_mut())?;
        Ok(Self(Zeroizing::new(STANDARD.encode(bytes))))
    }

    /// What keys are derived of: text, which no reader of secrets takes blanks off.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ProcessSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessSecret([redacted])")
    }
}

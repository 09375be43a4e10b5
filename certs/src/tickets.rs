//! Session tickets that every edge of a fleet can open, without anybody handing keys around.
//!
//! A ticket's key is HKDF(secret, trust domain, epoch), so that edges that share the secret make the same keys by themselves:
//! a client that lands on another edge, or in another cloud, still resumes. Keys change with the epoch, every six hours, and
//! those of the epochs before and after are accepted too: tickets outlive the change, and clocks may differ by hours. Hosts
//! whose TLS has terms of its own (a fence, client certificates) have a domain of their own: what one of them gave out is
//! worth nothing under another.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use crate::error::CertError;

/// How long a key is used for new tickets, in seconds; and how long clients are told to keep one.
const EPOCH: u64 = 6 * 3600;

/// The shortest secret: as long as the keys made of it.
const SHORTEST: usize = 32;

/// What all ticket keys are made of.
#[derive(Clone)]
pub struct TicketSecret(Arc<Zeroizing<Vec<u8>>>);

impl TicketSecret {
    /// One that only this process knows.
    pub fn random() -> Result<Self, CertError> {
        let mut secret = Zeroizing::new(vec![0; SHORTEST]);
        rand::fill(&mut secret).map_err(|_| CertError::NoTickets { reason: "the system gives no randomness".into() })?;
        Ok(Self(Arc::new(secret)))
    }

    /// From a file that every edge of the fleet has.
    pub fn read(file: &Path) -> Result<Self, CertError> {
        let reason = |reason: String| CertError::NoTickets { reason: format!("tls.ticketSecret, {}: {reason}", file.display()) };
        let bytes = Zeroizing::new(std::fs::read(file).map_err(|e| reason(e.to_string()))?);
        Self::new(&bytes).map_err(|e| match e {
            CertError::NoTickets { reason: why } => reason(why),
            other => other,
        })
    }

    /// From the bytes of such a file; blanks around them do not count.
    pub fn new(bytes: &[u8]) -> Result<Self, CertError> {
        let bytes = bytes.trim_ascii();
        if bytes.len() < SHORTEST {
            let reason = format!(
                "the secret has {} bytes, and at least {SHORTEST} are needed: make one with `openssl rand -base64 48`",
                bytes.len()
            );
            return Err(CertError::NoTickets { reason });
        }
        Ok(Self(Arc::new(Zeroizing::new(bytes.to_vec()))))
    }

    /// The tickets of one trust domain; the empty one is that of every host without terms of its own.
    pub(crate) fn domain(&self, domain: &str) -> Arc<dyn ProducesTickets> {
        Arc::new(Tickets { secret: self.clone(), domain: domain.into(), keys: ArcSwapOption::empty(), now: unix_now })
    }

    fn key(&self, domain: &str, epoch: u64) -> Option<RandomizedNonceKey> {
        let salt = Salt::new(HKDF_SHA256, b"causeway session tickets, 1");
        let secret = salt.extract(&self.0);
        let epoch = epoch.to_be_bytes();
        // The epoch's length is fixed, so that no two domains and epochs give the same bytes.
        let info = [epoch.as_slice(), domain.as_bytes()];
        let mut key = Zeroizing::new([0; SHORTEST]);
        secret.expand(&info, Length).ok()?.fill(key.as_mut()).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).ok()
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret([redacted])")
    }
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        SHORTEST
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

struct Tickets {
    secret: TicketSecret,
    domain: Box<str>,
    keys: ArcSwapOption<Keys>,
    /// Seconds since 1970.
    now: fn() -> u64,
}

/// The keys that are good in an epoch: its own, between those beside it.
struct Keys {
    epoch: u64,
    keys: [Option<RandomizedNonceKey>; 3],
}

impl Tickets {
    fn keys(&self) -> Arc<Keys> {
        let epoch = (self.now)() / EPOCH;
        if let Some(keys) = self.keys.load_full().filter(|keys| keys.epoch == epoch) {
            return keys;
        }
        // Whoever notices the new epoch at the same time makes the same keys.
        let of = |epoch| self.secret.key(&self.domain, epoch);
        let keys = Arc::new(Keys { epoch, keys: [of(epoch.saturating_sub(1)), of(epoch), of(epoch + 1)] });
        self.keys.store(Some(Arc::clone(&keys)));
        keys
    }
}

/// Epoch, nonce, and what they seal. The epoch only says which key to take; a wrong one opens nothing.
const EPOCH_LEN: usize = 8;

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        EPOCH as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys();
        let epoch = keys.epoch.to_be_bytes();
        let mut sealed = plain.to_vec();
        let nonce = keys.keys[1].as_ref()?.seal_in_place_append_tag(Aad::from(epoch), &mut sealed).ok()?;
        Some([epoch.as_slice(), nonce.as_ref(), &sealed].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (epoch, rest) = cipher.split_first_chunk::<EPOCH_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys();
        let position = (u64::from_be_bytes(*epoch).checked_add(1)?).checked_sub(keys.epoch)?;
        let key = keys.keys.get(usize::try_from(position).ok()?)?.as_ref()?;
        let mut sealed = sealed.to_vec();
        let plain = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(*epoch), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("domain", &self.domain).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn at(secret: &[u8], domain: &str, now: fn() -> u64) -> Tickets {
        Tickets { secret: TicketSecret::new(secret).unwrap(), domain: domain.into(), keys: ArcSwapOption::empty(), now }
    }

    const NOON: fn() -> u64 = || 1000 * EPOCH + 5;

    #[test]
    fn edges_that_share_a_secret_open_each_others_tickets() {
        let ticket = at(SECRET, "", NOON).encrypt(b"session").unwrap();
        assert_eq!(at(SECRET, "", NOON).decrypt(&ticket).unwrap(), b"session");
        assert_eq!(at(&[SECRET, b"x"].concat(), "", NOON).decrypt(&ticket), None);
        assert!(!ticket.windows(7).any(|w| w == b"session"));
    }

    #[test]
    fn tickets_are_good_in_the_epochs_beside_their_own_and_no_longer() {
        let ticket = at(SECRET, "", NOON).encrypt(b"session").unwrap();
        let opened = |now| at(SECRET, "", now).decrypt(&ticket).is_some();
        assert!(opened(|| NOON() + EPOCH) && opened(|| NOON() - EPOCH));
        assert!(!opened(|| NOON() + 2 * EPOCH) && !opened(|| NOON() - 2 * EPOCH));
    }

    #[test]
    fn a_domain_opens_its_own_tickets_only() {
        let ticket = at(SECRET, "fence azure", NOON).encrypt(b"session").unwrap();
        assert!(at(SECRET, "fence azure", NOON).decrypt(&ticket).is_some());
        assert!(at(SECRET, "", NOON).decrypt(&ticket).is_none());
        assert!(at(SECRET, "fence aws", NOON).decrypt(&ticket).is_none());
    }

    #[test]
    fn whatever_a_client_sends_is_opened_or_not_and_never_a_panic() {
        let tickets = at(SECRET, "", NOON);
        let ticket = tickets.encrypt(b"session").unwrap();
        for length in 0..ticket.len() {
            assert_eq!(tickets.decrypt(&ticket[..length]), None);
            let mut changed = ticket.clone();
            changed[length] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "{length}");
        }
        assert_eq!(tickets.decrypt(&[0xff; 100]), None);
    }

    #[test]
    fn a_short_secret_is_none() {
        let error = TicketSecret::new(b" short \n").unwrap_err().to_string();
        assert!(error.contains("5 bytes") && error.contains("openssl rand"), "{error}");
    }
}

//! Sessions that stay with an endpoint: a cookie that tells which cluster and which endpoint, signed.
//!
//! The signature keeps clients from choosing endpoints, and one host's cookie from another's. What is signed tells a
//! stranger nothing but the cluster's name, which `causeway-served-by` tells anyway: the endpoint is a number that is made of its
//! identity. All edges make it alike, and with the fleet's secret they believe each other's cookies; without one each process
//! has a key of its own, which its successor inherits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::hmac;
use causeway_config::{ClusterId, SessionPersistence};
use http::{HeaderMap, HeaderValue, header};

use crate::process_secret::ProcessSecret;

/// What the secret must have, in bytes.
const SHORTEST: usize = 32;

/// What keys for cookies are derived by, so that nothing else that is made of the secret is the same.
const PURPOSE: &[u8] = b"causeway session cookie 1";

/// Signs and reads session cookies.
#[derive(Debug)]
pub struct Sessions(hmac::Key);

/// Why the fleet's secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("fleet.secret: {path}: {source}; create it with `head -c 32 /dev/urandom`, the same for all edges", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is guessed too easily.
    #[error("fleet.secret: {path} has {found} bytes where {SHORTEST} or more are needed; create it with `head -c 32 /dev/urandom`", path = .path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: usize,
    },
}

/// Where a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The cluster.
    pub cluster: ClusterId,
    /// The endpoint's tag.
    pub tag: u64,
    /// When the session ends, in seconds since 1970; `None`: with the browser.
    pub until: Option<u64>,
}

impl Sessions {
    /// Reads the fleet's secret; without one, the process's `own` counts.
    pub fn load(secret: Option<&Path>, own: &ProcessSecret) -> Result<Self, SecretError> {
        let Some(path) = secret else { return Ok(Self::of(own.expose())) };
        let bytes = std::fs::read(path).map_err(|source| SecretError::Unreadable { path: path.into(), source })?;
        if bytes.len() < SHORTEST {
            return Err(SecretError::Short { path: path.into(), found: bytes.len() });
        }
        Ok(Self::of(&bytes))
    }

    fn of(secret: &[u8]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), PURPOSE);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// Where the client's session for this host is, if a cookie of ours says so and is still good at `now` (seconds since 1970).
    pub fn find(&self, headers: &HeaderMap, persistence: &SessionPersistence, host: &str, now: u64) -> Option<Place> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs
            .find_map(|(name, value)| {
                let ours = name == &*persistence.session_name;
                ours.then(|| self.read(value, &persistence.session_name, host)).flatten()
            })
            .filter(|place| place.until.is_none_or(|until| now < until))
    }

    fn read(&self, value: &str, name: &str, host: &str) -> Option<Place> {
        let (text, signature) = value.rsplit_once('.')?;
        let mut bytes = [0; 32];
        if signature.len() != 2 * bytes.len() || !signature.is_ascii() {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(signature.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        hmac::verify(&self.0, signed(text, name, host).as_bytes(), &bytes).ok()?;
        let mut parts = text.split('.');
        let place = Place {
            cluster: parts.next()?.parse().ok()?,
            tag: u64::from_str_radix(parts.next()?, 16).ok()?,
            until: Some(parts.next()?.parse().ok()?).filter(|until| *until > 0),
        };
        parts.next().is_none().then_some(place)
    }

    /// The cookie for a session.
    pub fn cookie(&self, persistence: &SessionPersistence, host: &str, place: &Place, now: u64) -> Option<HeaderValue> {
        use std::fmt::Write;
        let name = &persistence.session_name;
        let text = format!("{}.{:016x}.{}", place.cluster, place.tag, place.until.unwrap_or_default());
        let signature = hmac::sign(&self.0, signed(&text, name, host).as_bytes());
        let mut cookie = format!("{name}={text}.");
        for byte in signature.as_ref() {
            let _ = write!(cookie, "{byte:02x}");
        }
        cookie.push_str("; Path=/; HttpOnly; Secure; SameSite=Lax");
        if let Some(until) = place.until {
            let _ = write!(cookie, "; Max-Age={}", until.saturating_sub(now));
        }
        HeaderValue::from_str(&cookie).ok()
    }
}

/// When a session ends that begins now.
pub fn end(persistence: &SessionPersistence, now: u64) -> Option<u64> {
    persistence.absolute_timeout.map(|timeout: Duration| now + timeout.as_secs().max(1))
}

/// None of the three can hold a line's end.
fn signed(text: &str, name: &str, host: &str) -> String {
    format!("{host}\n{name}\n{text}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HOST: &str = "www.example.com";

    fn persistence() -> SessionPersistence {
        SessionPersistence { session_name: "session".into(), absolute_timeout: Some(Duration::from_hours(1)) }
    }

    fn place() -> Place {
        Place { cluster: "azure".parse().unwrap(), tag: 0xdead_beef, until: Some(4600) }
    }

    fn sent(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        let text = format!("theme=dark; {pair}; other=x");
        HeaderMap::from_iter([(header::COOKIE, text.parse().unwrap())])
    }

    #[test]
    fn a_cookie_comes_back_as_it_was_set() {
        let sessions = Sessions::of(&[7; 32]);
        let cookie = sessions.cookie(&persistence(), HOST, &place(), 1000).unwrap();
        let text = cookie.to_str().unwrap();
        assert!(text.starts_with("session=azure.00000000deadbeef.4600."), "{text}");
        assert!(text.ends_with("; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=3600"), "{text}");
        let found = |now| sessions.find(&sent(&cookie), &persistence(), HOST, now);
        assert_eq!(found(4599), Some(place()));
        assert_eq!(found(4600), None, "it ends, whatever the browser believes");
        assert_eq!(end(&persistence(), 1000), Some(4600));
    }

    #[test]
    fn edges_with_one_secret_believe_each_other_and_nobody_else() {
        let own = ProcessSecret::draw().unwrap();
        let cookie = Sessions::of(&[7; 32]).cookie(&persistence(), HOST, &place(), 1000).unwrap();
        let found = |sessions: Sessions, host| sessions.find(&sent(&cookie), &persistence(), host, 1000);
        assert!(found(Sessions::of(&[7; 32]), HOST).is_some());
        assert_eq!(found(Sessions::of(&[8; 32]), HOST), None);
        assert_eq!(found(Sessions::of(&[7; 32]), "other.example.com"), None, "a host's cookie is that host's");
        assert_eq!(found(Sessions::load(None, &own).unwrap(), HOST), None);
    }

    #[test]
    fn a_cookie_that_was_changed_is_none() {
        let sessions = Sessions::of(&[7; 32]);
        let cookie = sessions.cookie(&persistence(), HOST, &place(), 1000).unwrap();
        let text = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        for changed in [
            text.replace("azure", "aws"),
            text.replace("beef", "beee"),
            format!("{text}0"),
            "session=".into(),
            "session=ü".into(),
        ] {
            let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_bytes(changed.as_bytes()).unwrap())]);
            assert_eq!(sessions.find(&headers, &persistence(), HOST, 1000), None, "{changed}");
        }
    }

    #[test]
    fn a_secret_must_be_there_and_long_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let own = ProcessSecret::draw().unwrap();
        assert!(Sessions::load(Some(&path), &own).unwrap_err().to_string().contains("head -c 32 /dev/urandom"));
        std::fs::write(&path, b"too short").unwrap();
        assert!(matches!(Sessions::load(Some(&path), &own), Err(SecretError::Short { found: 9, .. })));
        std::fs::write(&path, [1; 32]).unwrap();
        assert!(Sessions::load(Some(&path), &own).is_ok());
    }
}

//! Which certificate: how `fleet.revoked` names one.

use std::fmt;
use std::str::FromStr;

use crate::ids::InvalidName;

/// A certificate, by its serial number or by the SHA-256 of its DER.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateId {
    /// The serial number, without leading zeros (RFC 5280 section 4.1.2.2: at most 20 bytes).
    Serial(Vec<u8>),
    /// The SHA-256 of the certificate.
    Fingerprint([u8; 32]),
}

impl CertificateId {
    /// Whether it is the one with this serial number and this digest.
    pub fn is(&self, serial: &[u8], fingerprint: &[u8]) -> bool {
        match self {
            Self::Serial(wanted) => wanted.as_slice() == without_zeros(serial),
            Self::Fingerprint(wanted) => wanted.as_slice() == fingerprint,
        }
    }
}

fn without_zeros(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}

impl FromStr for CertificateId {
    type Err = InvalidName;

    /// As tools print it: hexadecimal digits of either case, with or without colons.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || {
            let remedy = "write the serial number (up to 40 hexadecimal digits) or the SHA-256 fingerprint (64), as \
                          `openssl x509 -noout -serial -fingerprint -sha256` prints them";
            InvalidName::new(text, "a certificate's serial number or fingerprint", remedy)
        };
        let mut digits: String = text.chars().filter(|c| *c != ':').collect();
        if digits.len() % 2 == 1 {
            digits.insert(0, '0');
        }
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.filter(|bytes| plain && !bytes.is_empty()).ok_or_else(invalid)?;
        match <[u8; 32]>::try_from(bytes.as_slice()) {
            Ok(fingerprint) => Ok(Self::Fingerprint(fingerprint)),
            Err(_) if bytes.len() <= 20 => Ok(Self::Serial(without_zeros(&bytes).to_vec())),
            // DER puts a zero before a number that would look negative.
            Err(_) if bytes.len() == 21 && bytes[0] == 0 => Ok(Self::Serial(without_zeros(&bytes).to_vec())),
            Err(_) => Err(invalid()),
        }
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Self::Serial(serial) => serial,
            Self::Fingerprint(digest) => digest,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id(text: &str) -> CertificateId {
        text.parse().unwrap()
    }

    #[test]
    fn serials_and_fingerprints_are_read_as_tools_print_them() {
        assert_eq!(id("0A:0b"), CertificateId::Serial(vec![10, 11]));
        assert_eq!(id("a0b"), id("0A:0B"));
        let digest = "AB:".repeat(31) + "AB";
        assert_eq!(id(&digest), CertificateId::Fingerprint([0xab; 32]));
        assert!(id("00:ff").is(&[0, 0xff], &[]) && id("ff").is(&[0, 0xff], &[]), "DER's leading zero is no part of the number");
        assert!(id(&digest).is(&[1], &[0xab; 32]) && !id(&digest).is(&[1], &[0xac; 32]));
        assert_eq!(id(&digest).to_string(), "ab".repeat(32));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", ":", "xyz", "+f", &"ab".repeat(22), &"ab".repeat(33)] {
            assert!(bad.parse::<CertificateId>().is_err(), "{bad}");
        }
    }
}

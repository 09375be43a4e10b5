//! Where things are: continents, countries, subdivisions and points on the globe.

use std::fmt;
use std::str::FromStr;

use crate::ids::InvalidName;

/// A continent, by the two-letter codes that MaxMind and GeoNames use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum Continent {
    Af,
    An,
    As,
    Eu,
    Na,
    Oc,
    Sa,
}

/// A country: ISO 3166-1 alpha-2, upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// A part of a country: ISO 3166-2 (`US-CA`), upper case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subdivision(Box<str>);

/// A point on the globe, in degrees (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Coordinates {
    /// North is positive; -90 to 90.
    pub lat: f64,
    /// East is positive; -180 to 180.
    pub lon: f64,
}

impl Country {
    /// The code, as two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("parsed from ASCII letters")
    }
}

impl FromStr for Country {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        match s.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(InvalidName::new(s, "a country", "use its two letters of ISO 3166-1, such as `DE`")),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Subdivision {
    /// The code, such as `US-CA`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subdivision {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        let valid = s.split_once('-').is_some_and(|(country, part)| {
            country.parse::<Country>().is_ok() && (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        if valid {
            Ok(Self(s.to_ascii_uppercase().into()))
        } else {
            Err(InvalidName::new(s, "a subdivision", "use its code of ISO 3166-2, such as `US-CA`"))
        }
    }
}

impl FromStr for Continent {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        Ok(match s.to_ascii_uppercase().as_str() {
            "AF" => Self::Af,
            "AN" => Self::An,
            "AS" => Self::As,
            "EU" => Self::Eu,
            "NA" => Self::Na,
            "OC" => Self::Oc,
            "SA" => Self::Sa,
            _ => return Err(InvalidName::new(s, "a continent", "use AF, AN, AS, EU, NA, OC or SA")),
        })
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Af => "AF",
            Self::An => "AN",
            Self::As => "AS",
            Self::Eu => "EU",
            Self::Na => "NA",
            Self::Oc => "OC",
            Self::Sa => "SA",
        })
    }
}

//! What a record of a database says about a place, in any of the schemas that are about.
//!
//! | maker | country | subdivision |
//! |---|---|---|
//! | `MaxMind`, DB-IP | `country: {iso_code: "US"}` | `subdivisions: [{iso_code: "CA"}]` |
//! | ip-location-db, `IPinfo` lite | `country_code: "US"` | none |
//! | `IPinfo` country | `country: "US"` | none |
//!
//! `registered_country` is where the holder of the network has its seat, and `represented_country` whose soil an
//! embassy is; neither is where the client sits, so neither is read.

use std::fmt;

use causeway_config::{Country, Subdivision};
use causeway_core::geo::Location;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The fields that matter, borrowed from the file's bytes. Everything else is skipped, not decoded.
#[derive(Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow, default)]
    country_code: Code<'a>,
    #[serde(borrow, default)]
    country: Code<'a>,
    #[serde(borrow, default)]
    subdivisions: Code<'a>,
}

impl Record<'_> {
    pub(super) fn location(&self) -> Option<Location> {
        let country: Country = [&self.country_code, &self.country].into_iter().find_map(|code| code.0?.parse().ok())?;
        // Unicode's code for an unknown place (UTS #35); some makers write it instead of leaving the field out.
        if country.as_str() == "ZZ" {
            return None;
        }
        let subdivision = self.subdivisions.0.and_then(|code| format!("{country}-{code}").parse::<Subdivision>().ok());
        Some(Location { country, subdivision })
    }
}

/// An ISO code, whether it stands there as text, as `{iso_code: ...}`, or so in the first element of a list. A value of
/// any other shape is no code rather than an error: a schema that is about something else must not break the look-up.
#[derive(Clone, Copy, Default)]
struct Code<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Code<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CodeVisitor)
    }
}

struct CodeVisitor;

impl<'de> Visitor<'de> for CodeVisitor {
    type Value = Code<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a code, a map with `iso_code`, or a list of such maps")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Code(Some(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut code = None;
        while let Some(key) = map.next_key::<&str>()? {
            if key == "iso_code" {
                code = map.next_value::<Code<'de>>()?.0;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Code(code))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let first = list.next_element::<Code<'de>>()?.unwrap_or_default();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Code(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Code(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Code(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Code(None))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Code(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Code(None))
    }
}

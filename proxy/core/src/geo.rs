//! Where a client is, as far as anybody knows.

use causeway_config::{Country, Subdivision};
use serde::{Serialize, Serializer};

/// A known place; a client that nothing is known of has none.
///
/// The continent is not part of it: it follows from the country, and two sources of it could differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The country that the address is used in, not the one that it is registered in.
    pub country: Country,
    /// The largest part of the country that the address is known to be used in.
    pub subdivision: Option<Subdivision>,
}

impl Serialize for Location {
    /// As the most specific code there is: `US-CA`, else `US`.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match &self.subdivision {
            Some(subdivision) => s.serialize_str(subdivision.as_str()),
            None => s.serialize_str(self.country.as_str()),
        }
    }
}

//! From where a client is to which clusters it prefers.

use std::collections::BTreeMap;

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

/// A preference whose tier lists are numbered: each entry is a row of the snapshot's [`Rows`](crate::share::Rows).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    pub(crate) subdivisions: BTreeMap<Subdivision, usize>,
    /// Named countries, and every other country of named continents.
    pub(crate) countries: BTreeMap<Country, (usize, Rule)>,
    /// For locations that no rule names, and which rule that is.
    pub(crate) default: (usize, Rule),
    pub(crate) unknown: usize,
}

/// Which rule of a preference spoke for a location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Rule {
    /// `subdivisions` named it.
    Subdivision,
    /// `countries` named it.
    Country,
    /// `continents` named it.
    Continent,
    /// `default` spoke.
    Default,
    /// Nothing did: nearest first, seen from this edge.
    Nearest,
    /// The location is unknown, and counts as that of the home cluster.
    #[default]
    Unknown,
}

impl Preferences {
    /// The row for a location, by its most specific rule.
    pub fn row(&self, location: Option<&Location>) -> (usize, Rule) {
        let Some(location) = location else { return (self.unknown, Rule::Unknown) };
        if let Some(row) = location.subdivision.as_ref().and_then(|s| self.subdivisions.get(s)) {
            return (*row, Rule::Subdivision);
        }
        self.countries.get(&location.country).copied().unwrap_or(self.default)
    }
}

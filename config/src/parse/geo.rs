//! `geo`: known networks, and who prefers which clusters.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Check;
use super::values::{self, Refusal, network};
use crate::error::FaultKind;
use crate::geography::{Continent, Country, Subdivision};
use crate::model::{Geo, Preference, Tiers};
use crate::raw::{At, Entries, RawGeo, RawPreference, RawTier};

impl Check<'_> {
    pub(super) fn geo(&self, raw: &At<RawGeo>) -> Geo {
        let Some(raw) = raw.get() else { return Geo::default() };
        let mut networks = Vec::new();
        let mut places = HashMap::new();
        for (key, value) in raw.networks.get().map(|e| e.0.as_slice()).unwrap_or_default() {
            let net = self.value(key, network);
            let country = self.value(value, country);
            let Some(net) = net else { continue };
            if let Some(first) = places.insert(net, key.node()) {
                self.report.fault(
                    key.node(),
                    FaultKind::Conflict,
                    format!(
                        "the network `{net}` stands here a second time; the first is in line {}",
                        self.report.tree.position(first).0
                    ),
                    "keep one of the two",
                );
            }
            networks.extend(country.map(|country| (net, country)));
        }
        Geo { database: self.path(&raw.database), networks, prefer: self.preference(&raw.prefer).unwrap_or_default() }
    }

    pub(super) fn preference(&self, raw: &At<RawPreference>) -> Option<Preference> {
        let raw = raw.get()?;
        Some(Preference {
            subdivisions: self.rules(&raw.subdivisions, |text| {
                let subdivision: Subdivision = values::name(text)?;
                country(&subdivision.as_str()[..2]).map(|_| subdivision)
            }),
            countries: self.rules(&raw.countries, country),
            continents: self.rules(&raw.continents, values::name::<Continent>),
            default: self.tiers(&raw.default),
        })
    }

    fn rules<K: Ord + std::fmt::Display>(
        &self,
        raw: &At<Entries<Vec<At<RawTier>>>>,
        parse: impl Fn(&str) -> Result<K, Refusal>,
    ) -> BTreeMap<K, Tiers> {
        let mut rules = BTreeMap::new();
        for (key, tiers) in raw.get().map(|e| e.0.as_slice()).unwrap_or_default() {
            let tiers = self.tiers(tiers);
            let Some(place) = self.value(key, &parse) else { continue };
            if rules.contains_key(&place) {
                self.report.fault(
                    key.node(),
                    FaultKind::Conflict,
                    format!("there are two rules for {place}"),
                    "keep one of the two; upper and lower case are the same here",
                );
            }
            rules.extend(tiers.map(|tiers| (place, tiers)));
        }
        rules
    }

    fn tiers(&self, raw: &At<Vec<At<RawTier>>>) -> Option<Tiers> {
        let (at, raw) = raw.given()?;
        let nobody = |at| {
            self.report.fault(
                at,
                FaultKind::BadValue,
                "this list names no cluster",
                "name clusters, best first; to keep clusters away from a host, use its `allow`",
            );
        };
        if raw.is_empty() {
            nobody(at);
        }
        let mut seen = HashSet::new();
        let mut tiers = Tiers::new();
        for tier in raw {
            let names = match tier.given() {
                None => continue,
                Some((_, RawTier::One(name))) => std::slice::from_ref(name),
                Some((at, RawTier::Equals(names))) => {
                    if names.is_empty() {
                        nobody(at);
                    }
                    names.as_slice()
                }
            };
            let mut equals = Vec::new();
            for name in names {
                let Some(cluster) = self.cluster_ref(name) else { continue };
                if !seen.insert(cluster.clone()) {
                    self.report.fault(
                        name.node(),
                        FaultKind::Conflict,
                        format!("`{cluster}` stands twice among these tiers"),
                        "keep its better place",
                    );
                }
                equals.push(cluster);
            }
            tiers.push(equals);
        }
        Some(tiers)
    }
}

/// A country that exists: a misspelt one would silently match nobody.
fn country(text: &str) -> Result<Country, Refusal> {
    let country: Country = values::name(text)?;
    let remedy = match country.as_str() {
        _ if country.continent().is_some() => return Ok(country),
        "UK" => "the United Kingdom is `GB`",
        "EL" => "Greece is `GR`",
        "EU" => "the European Union is no country; the continent `EU` goes under `continents`",
        _ => "use its two letters of ISO 3166-1, such as `DE`",
    };
    Err((format!("ISO 3166-1 has no country `{country}`"), remedy.to_owned()))
}

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

/// Every ISO 3166-1 code by continent, as GeoNames has them (transcontinental countries count where their capital is, but Turkey,
/// Cyprus and the Caucasus as in MaxMind's databases).
const COUNTRIES: [(Continent, &str); 7] = [
    (
        Continent::Af,
        "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA NE NG RE RW SC SD SH SL SN \
         SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
    ),
    (Continent::An, "AQ BV GS HM TF"),
    (
        Continent::As,
        "AE AF AM AZ BD BH BN BT CC CN CX GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH PK PS QA SA SG SY TH \
         TJ TM TR TW UZ VN YE",
    ),
    (
        Continent::Eu,
        "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS RU \
         SE SI SJ SK SM UA VA XK",
    ),
    (
        Continent::Na,
        "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC TT US VC VG VI",
    ),
    (Continent::Oc, "AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS"),
    (Continent::Sa, "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
];

impl Country {
    /// The continent it lies on; `None` for a code that ISO 3166-1 does not have.
    pub fn continent(&self) -> Option<Continent> {
        let has = |codes: &&str| codes.split(' ').any(|code| code == self.as_str());
        COUNTRIES.iter().find(|(_, codes)| has(codes)).map(|(continent, _)| *continent)
    }
}

impl Continent {
    /// The countries on it, by [`Country::continent`].
    pub fn countries(self) -> impl Iterator<Item = Country> {
        let codes = COUNTRIES.iter().find(|(continent, _)| *continent == self).map_or("", |(_, codes)| codes);
        codes.split(' ').filter_map(|code| code.parse().ok())
    }
}

impl Coordinates {
    /// The great-circle distance in kilometres (haversine; the mean radius of the earth, 6,371 km).
    pub fn distance_km(self, other: Self) -> f64 {
        let (lat1, lat2) = (self.lat.to_radians(), other.lat.to_radians());
        let (half_lat, half_lon) = ((lat2 - lat1) / 2.0, (other.lon - self.lon).to_radians() / 2.0);
        let h = half_lat.sin().powi(2) + lat1.cos() * lat2.cos() * half_lon.sin().powi(2);
        2.0 * 6371.0 * h.sqrt().min(1.0).asin()
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

impl fmt::Display for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const fn at(lat: f64, lon: f64) -> Coordinates {
        Coordinates { lat, lon }
    }

    #[test]
    fn distances_follow_the_great_circle() {
        let (frankfurt, singapore, virginia) = (at(50.11, 8.68), at(1.35, 103.82), at(38.95, -77.45));
        assert!((frankfurt.distance_km(singapore) - 10_260.0).abs() < 60.0);
        assert!((frankfurt.distance_km(virginia) - 6_540.0).abs() < 60.0);
        assert!((at(0.0, 179.5).distance_km(at(0.0, -179.5)) - 111.2).abs() < 0.1, "across the date line");
        assert!((at(90.0, 0.0).distance_km(at(-90.0, 77.0)) - 20_015.0).abs() < 1.0, "pole to pole");
    }

    #[test]
    fn every_assigned_code_is_there_once() {
        let codes: Vec<_> = COUNTRIES.iter().flat_map(|(_, codes)| codes.split(' ')).collect();
        let unique: std::collections::BTreeSet<_> = codes.iter().collect();
        // 249 of ISO 3166-1, and Kosovo's XK, which is user-assigned but what geo databases answer.
        assert_eq!((codes.len(), unique.len()), (250, 250));
        assert!(codes.iter().all(|code| code.parse::<Country>().is_ok_and(|c| c.as_str() == *code)));
    }

    #[test]
    fn countries_lie_where_geo_databases_put_them() {
        let of = |code: &str| code.parse::<Country>().unwrap().continent();
        for (code, continent) in [("de", Continent::Eu), ("US", Continent::Na), ("SG", Continent::As), ("BR", Continent::Sa)] {
            assert_eq!(of(code), Some(continent), "{code}");
        }
        for (code, continent) in [("NO", Continent::Eu), ("TR", Continent::As), ("ZA", Continent::Af), ("GS", Continent::An)] {
            assert_eq!(of(code), Some(continent), "{code}");
        }
        assert_eq!((of("UK"), of("ZZ"), of("EU")), (None, None, None));
        assert!(Continent::Oc.countries().any(|c| c.as_str() == "NZ"));
    }

    #[test]
    fn codes_are_read_in_any_case_and_written_in_upper_case() {
        assert_eq!("de".parse::<Country>().unwrap().to_string(), "DE");
        assert_eq!("us-ca".parse::<Subdivision>().unwrap().as_str(), "US-CA");
        assert_eq!("eu".parse::<Continent>().unwrap().to_string(), "EU");
        assert!("DEU".parse::<Country>().is_err() && "D1".parse::<Country>().is_err() && "".parse::<Country>().is_err());
        assert!(
            "US".parse::<Subdivision>().is_err()
                && "US-".parse::<Subdivision>().is_err()
                && "US-CALI".parse::<Subdivision>().is_err()
        );
    }

    proptest! {
        #[test]
        fn distance_is_a_metric(a in (-90.0..=90.0f64, -180.0..=180.0f64), b in (-90.0..=90.0f64, -180.0..=180.0f64)) {
            let (a, b) = (at(a.0, a.1), at(b.0, b.1));
            let d = a.distance_km(b);
            prop_assert!((0.0..=20_016.0).contains(&d));
            prop_assert!((d - b.distance_km(a)).abs() < 1e-6);
            prop_assert!(a.distance_km(a) < 1e-6);
        }
    }
}

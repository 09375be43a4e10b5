#![allow(clippy::unwrap_used)]

use std::path::Path;

use causeway_config::ClusterId;
use mmdb_writer::{IpVersion, Value, Writer};
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A database of one schema: each network with its record.
fn database(kind: &str, version: IpVersion, records: &[(&str, serde_json::Value)]) -> Vec<u8> {
    let mut writer = Writer::builder(kind).ip_version(version).build();
    for (network, record) in records {
        writer.insert(network.parse::<IpNet>().unwrap(), record).unwrap();
    }
    writer.to_bytes().unwrap()
}

fn city() -> Vec<u8> {
    let california = json!({
        "continent": {"code": "NA"},
        "country": {"iso_code": "US", "names": {"en": "United States"}},
        "registered_country": {"iso_code": "DE"},
        "subdivisions": [{"iso_code": "CA", "names": {"en": "California"}}, {"iso_code": "XX"}],
    });
    let registered_only = json!({"registered_country": {"iso_code": "DE"}});
    let records = [
        ("198.51.100.0/24", california),
        ("203.0.113.0/24", registered_only),
        ("2001:db8::/32", json!({"country": {"iso_code": "JP"}})),
    ];
    database("GeoLite2-City", IpVersion::V6, &records)
}

fn open(bytes: &[u8]) -> Result<GeoDb, GeoError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("country.mmdb");
    fs::write(&path, bytes).unwrap();
    GeoDb::open(&path)
}

fn place(location: Option<Location>) -> String {
    location.map_or("?".into(), |l| l.subdivision.map_or(l.country.to_string(), |s| s.as_str().into()))
}

fn locate(db: &GeoDb, address: &str) -> String {
    place(db.locate(address.parse().unwrap()))
}

#[test]
fn nested_schema_gives_country_and_first_subdivision() {
    let db = open(&city()).unwrap();
    assert_eq!(locate(&db, "198.51.100.7"), "US-CA");
    assert_eq!(locate(&db, "2001:db8::1"), "JP");
    assert_eq!(locate(&db, "192.0.2.1"), "?");
    assert_eq!(db.kind(), "GeoLite2-City");
}

#[test]
fn registered_country_is_no_location() {
    assert_eq!(locate(&open(&city()).unwrap(), "203.0.113.1"), "?");
}

#[test]
fn flat_schemas_give_the_country() {
    let records = [
        ("192.0.2.0/24", json!({"country_code": "de"})),
        ("198.51.100.0/24", json!({"country": "Australia", "country_code": "AU", "continent": "Oceania"})),
        ("203.0.113.0/24", json!({"country": "SG", "country_name": "Singapore"})),
        ("233.252.0.0/24", json!({"country": "Australia", "subdivisions": 7})),
        ("240.0.0.0/24", json!({"country_code": "ZZ"})),
    ];
    let db = open(&database("flat", IpVersion::V4, &records)).unwrap();
    assert_eq!(locate(&db, "192.0.2.1"), "DE");
    assert_eq!(locate(&db, "198.51.100.1"), "AU");
    assert_eq!(locate(&db, "203.0.113.1"), "SG");
    assert_eq!(locate(&db, "233.252.0.1"), "?");
    assert_eq!(locate(&db, "240.0.0.1"), "?");
}

#[test]
fn an_ipv4_database_knows_no_ipv6_address() {
    let db = open(&database("v4", IpVersion::V4, &[("192.0.2.0/24", json!({"country_code": "DE"}))])).unwrap();
    assert_eq!(locate(&db, "2001:db8::1"), "?");
}

#[test]
fn the_longest_known_network_wins_and_goes_before_the_database() {
    let network = |text: &str, country: &str| (text.parse().unwrap(), country.parse().unwrap());
    let networks = [network("198.0.0.0/8", "FR"), network("198.51.100.128/25", "IT"), network("2001:db8:1::/48", "ES")];
    let locator = Locator::new(&networks, Some(Arc::new(open(&city()).unwrap())));
    let locate = |address: &str| place(locator.locate(address.parse().unwrap()));
    assert_eq!(locate("198.51.100.1"), "FR");
    assert_eq!(locate("198.51.100.200"), "IT");
    assert_eq!(locate("2001:db8:1::1"), "ES");
    assert_eq!(locate("2001:db8:2::1"), "JP");
    assert_eq!(place(Locator::default().locate("198.51.100.1".parse().unwrap())), "?");
}

#[test]
fn a_mapped_address_is_the_ipv4_one_and_an_embedded_one_is_not() {
    let networks = [("192.0.2.0/24".parse().unwrap(), "DE".parse().unwrap())];
    let locator = Locator::new(&networks, Some(Arc::new(open(&city()).unwrap())));
    let locate = |address: &str| place(locator.locate(address.parse().unwrap()));
    assert_eq!(locate("::ffff:192.0.2.1"), "DE");
    assert_eq!(locate("::ffff:198.51.100.1"), "US-CA");
    // 192.0.2.1 in 6to4 (RFC 3056) and in NAT64's well-known prefix (RFC 6052).
    assert_eq!(locate("2002:c000:201::1"), "?");
    assert_eq!(locate("64:ff9b::192.0.2.1"), "?");
}

#[test]
fn a_file_that_is_no_country_database_is_refused_with_its_name_and_a_remedy() {
    let asn = database("GeoLite2-ASN", IpVersion::V4, &[("192.0.2.0/24", json!({"autonomous_system_number": 64512}))]);
    let Err(error @ GeoError::NoCountries { .. }) = open(&asn) else { panic!("a database without countries was taken") };
    let text = error.to_string();
    assert!(text.contains("country.mmdb (GeoLite2-ASN)") && text.contains("use a country or city database"), "{text}");

    assert!(matches!(open(b""), Err(GeoError::Invalid { .. })));
    assert!(matches!(open(b"<html>Please log in</html>"), Err(GeoError::Invalid { .. })));
    let bytes = city();
    assert!(matches!(open(&bytes[..bytes.len() / 2]), Err(GeoError::Invalid { .. })));
    assert!(matches!(GeoDb::open(Path::new("/")), Err(GeoError::NotAFile { .. })));
    assert!(matches!(GeoDb::open(Path::new("/nowhere/country.mmdb")), Err(GeoError::Read { .. })));
}

#[test]
fn a_record_of_another_shape_is_no_fault() {
    let mut writer = Writer::new("odd");
    writer.insert_value("192.0.2.0/24".parse::<IpNet>().unwrap(), Value::map([("country_code", Value::from("DE"))])).unwrap();
    let odd =
        Value::map([("country", Value::from(3_u32)), ("country_code", Value::from(true)), ("subdivisions", Value::from(1.5))]);
    writer.insert_value("198.51.100.0/24".parse::<IpNet>().unwrap(), odd).unwrap();
    let db = open(&writer.to_bytes().unwrap()).unwrap();
    assert_eq!(locate(&db, "198.51.100.1"), "?");
    assert_eq!(locate(&db, "192.0.2.1"), "DE");
}

#[test]
fn a_broken_file_keeps_the_database_before_it_and_is_counted() {
    let home: ClusterId = "aws".parse().unwrap();
    let metrics = Metrics::new(&home, SystemTime::UNIX_EPOCH);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("country.mmdb");
    let cell = LocatorCell::default();
    let locate = |address: &str| place(cell.locate(address.parse().unwrap()));
    let mut geo = Geo { database: Some(path.clone()), ..Geo::default() };

    assert!(cell.apply(&geo, &metrics).is_err());
    assert_eq!(locate("198.51.100.1"), "?");
    fs::write(&path, city()).unwrap();
    cell.apply(&geo, &metrics).unwrap();
    assert_eq!(locate("198.51.100.1"), "US-CA");

    fs::write(&path, b"broken").unwrap();
    geo.networks = vec![("192.0.2.0/24".parse().unwrap(), "DE".parse().unwrap())];
    assert!(cell.apply(&geo, &metrics).is_err());
    assert_eq!(locate("198.51.100.1"), "US-CA");
    assert_eq!(locate("192.0.2.1"), "DE");
    let text = metrics.encode();
    assert!(text.contains("causeway_reloads_total{what=\"geo\",result=\"ok\"} 1\n"), "{text}");
    assert!(text.contains("causeway_reloads_total{what=\"geo\",result=\"error\"} 2\n"), "{text}");

    geo.database = None;
    cell.apply(&geo, &metrics).unwrap();
    assert_eq!(locate("198.51.100.1"), "?");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens to a file's bytes, it is taken or refused, and a look-up in it answers.
    #[test]
    fn a_damaged_file_never_panics(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        keep in prop::option::of(any::<prop::sample::Index>()),
        address: u32,
    ) {
        let mut bytes = city();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(keep) = keep {
            bytes.truncate(keep.index(bytes.len()));
        }
        if let Ok(reader) = Reader::from_source(bytes) {
            let db = GeoDb { reader };
            let _ = db.probe();
            for address in [address.to_be_bytes(), [198, 51, 100, 7], [203, 0, 113, 1]] {
                let _ = db.locate(IpAddr::from(address));
            }
            let _ = db.locate(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]));
        }
    }
}

//! Writes a geo database as large as those that are sold, from numbers: `geo-database FILE NETWORKS`.
//!
//! The networks are /20 to /24 at random places, each of some country, and 127.0.0.0/24, which benchmarks come from, is in
//! Germany. Equal arguments give equal files.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::Ipv4Addr;

use anyhow::Context;
use mmdb_writer::ipnet::Ipv4Net;
use mmdb_writer::{IpVersion, Writer};
use serde_json::{Value, json};

const COUNTRIES: [(&str, &str, &str); 8] = [
    ("DE", "EU", "Germany"),
    ("FR", "EU", "France"),
    ("PL", "EU", "Poland"),
    ("US", "NA", "United States"),
    ("CA", "NA", "Canada"),
    ("BR", "SA", "Brazil"),
    ("JP", "AS", "Japan"),
    ("SG", "AS", "Singapore"),
];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("geo-database FILE NETWORKS")?;
    let networks: usize = arguments.next().context("how many NETWORKS?")?.parse()?;

    let records: Vec<Value> = COUNTRIES.iter().map(record).collect();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut writer = Writer::builder("GeoLite2-Country").ip_version(IpVersion::V6).build();
    for _ in 0..networks {
        let network = Ipv4Net::new(Ipv4Addr::from(rng.u32(..)), rng.u8(20..=24))?.trunc();
        writer.insert(network, &records[rng.usize(..records.len())])?;
    }
    writer.insert(Ipv4Net::new(Ipv4Addr::LOCALHOST, 24)?.trunc(), &records[0])?;
    // Whoever finds the file finds all of it.
    let unfinished = format!("{file}.new");
    let mut out = BufWriter::new(File::create(&unfinished)?);
    writer.write_to(&mut out)?;
    out.flush()?;
    Ok(std::fs::rename(unfinished, file)?)
}

fn record(&(code, continent, name): &(&str, &str, &str)) -> Value {
    json!({
        "continent": {"code": continent},
        "country": {"iso_code": code, "names": {"en": name}},
        "registered_country": {"iso_code": code, "names": {"en": name}},
    })
}

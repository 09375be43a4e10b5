#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{TARGETS, Target};

/// Broken seeds of each target; parsers of whole files take a hundred times as long as the others.
fn rounds(name: &str) -> usize {
    if matches!(name, "config" | "manifests") { 100 } else { 10_000 }
}

/// Folders of seeds besides the target's own: what is there anyway.
fn more(name: &str) -> &'static [&'static str] {
    match name {
        "config" => &["deploy/examples", "deploy/examples/reference-fleet"],
        "manifests" => &["tests/golden/cases"],
        _ => &[],
    }
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let own = root.join("fuzz/seeds").join(name);
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in std::iter::once(own).chain(more(name).iter().map(|folder| root.join(folder))) {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        paths.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    }
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Bytes on which parsers turn.
const TURNS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"%",
    b"%2f",
    b"%2e",
    b"%25",
    b"..",
    b"/",
    b"\\",
    b".",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b"'",
    b"#",
    b"&",
    b"*",
    b"-",
    b"---\n",
    b"\xff",
    b"\xc0\xaf",
    b"0",
    b"1",
    b"f",
    b"99999999999",
    b"\x00\x10",
];

/// A seed in which a few things are wrong.
fn broken(seeds: &[Vec<u8>], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = rng.choice(seeds).unwrap().clone();
    for _ in 0..rng.usize(1..=4) {
        let at = rng.usize(0..=bytes.len());
        let end = rng.usize(at..=bytes.len().min(at + 16));
        match rng.u8(0..6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(0..8),
            1 if at < bytes.len() => bytes[at] = rng.u8(..),
            2 => drop(bytes.splice(at..at, rng.choice(TURNS).unwrap().iter().copied())),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let other = rng.choice(seeds).unwrap();
                let from = rng.usize(0..=other.len());
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
        }
    }
    bytes
}

fn run(name: &str) {
    let (_, target): &Target = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let seeds = seeds(name);
    for seed in &seeds {
        target(seed);
    }
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..rounds(name) {
        let bytes = broken(&seeds, &mut rng);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let passed = std::panic::catch_unwind(|| target(&bytes));
        assert!(passed.is_ok(), "{name}: {shown:?}, which is {bytes:?}");
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_run() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
            let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            // `fuzz/run` goes by these.
            assert_eq!(folders.collect::<BTreeSet<_>>(), TARGETS.map(|(name, _)| name.to_owned()).into());
        }
    };
}

targets!(proxy_header client_hello http1 forwarded_for path host config manifests);

//! Golden cases: what is said about a file, byte for byte.
//!
//! `UPDATE=1 cargo test -p causeway-config` writes the outcomes anew; the diff is then for a person to read.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use causeway_config::{FaultKind, parse};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares `actual` with the file at `path`, or writes it there.
fn hold(path: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, actual).unwrap();
        return Ok(());
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    Err(format!(
        "{} differs; if this is right, run `UPDATE=1 cargo test -p causeway-config`. Now it is:\n{actual}\n",
        path.display()
    ))
}

fn inputs() -> Vec<PathBuf> {
    let files = fs::read_dir(here("tests/golden")).unwrap().map(|entry| entry.unwrap().path());
    let mut inputs: Vec<_> = files.filter(|path| path.to_string_lossy().ends_with(".in.yaml")).collect();
    inputs.sort();
    inputs
}

/// Errors, or warnings; and the whole configuration for inputs called `config-*`.
fn outcome(input: &Path) -> String {
    let name = input.file_name().unwrap().to_string_lossy().into_owned();
    let file = Path::new("/etc/causeway/causeway.yaml");
    match parse(&fs::read(input).unwrap(), file) {
        Err(errors) => format!("{errors}\n"),
        Ok(parsed) => {
            let mut out = format!("valid, {} warnings\n", parsed.warnings.len());
            for warning in &parsed.warnings {
                writeln!(out, "{}", warning.display(file)).unwrap();
            }
            if name.starts_with("config-") {
                writeln!(out, "{:#?}", parsed.config).unwrap();
            }
            out
        }
    }
}

#[test]
fn every_file_is_answered_as_written_down() {
    let wrong: Vec<_> = inputs()
        .iter()
        .filter_map(|input| {
            let output = input.to_string_lossy().replace(".in.yaml", ".out.txt");
            hold(Path::new(&output), &outcome(input)).err()
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_of_fault_has_a_case() {
    let mut kinds = BTreeSet::new();
    for input in inputs() {
        let faults = match parse(&fs::read(input).unwrap(), Path::new("f")) {
            Ok(parsed) => parsed.warnings,
            Err(errors) => errors.errors,
        };
        kinds.extend(faults.iter().map(|fault| format!("{:?}", fault.kind)));
    }
    // `Unreadable` and `Encoding` are about files that cannot lie in a folder of texts.
    for kind in [
        FaultKind::TooLarge,
        FaultKind::Syntax,
        FaultKind::Empty,
        FaultKind::DuplicateKey,
        FaultKind::UnknownField,
        FaultKind::MissingField,
        FaultKind::WrongType,
        FaultKind::BadValue,
        FaultKind::UnknownCluster,
        FaultKind::Conflict,
        FaultKind::Risk,
    ] {
        assert!(kinds.contains(&format!("{kind:?}")), "no case of {kind:?}");
    }
}

#[test]
fn the_schema_on_disk_is_the_one_that_the_types_make() {
    let schema = format!("{:#}\n", causeway_config::schema());
    hold(&here("causeway.schema.json"), &schema).unwrap();
}

#[test]
fn the_commented_example_is_valid_and_risks_nothing() {
    let path = here("../deploy/examples/causeway.yaml");
    let parsed = causeway_config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(parsed.warnings, []);
}

#[test]
fn every_example_is_valid() {
    let mut folders = vec![here("../deploy/examples")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == "causeway.yaml") {
                causeway_config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
                found += 1;
            }
        }
    }
    assert!(found >= 1);
}

/// Every property of the schema must be in the example, in the reference, or both would age unseen.
#[test]
fn example_and_reference_name_every_field() {
    let schema = causeway_config::schema();
    let mut fields = BTreeSet::new();
    collect(&schema, &mut fields);
    assert!(fields.len() > 50);
    let example = fs::read_to_string(here("../deploy/examples/causeway.yaml")).unwrap();
    let reference = fs::read_to_string(here("../docs/configuration.md")).unwrap();
    for field in fields {
        assert!(example.contains(&format!("{field}:")), "deploy/examples/causeway.yaml does not show `{field}`");
        assert!(reference.contains(&field), "docs/configuration.md does not explain `{field}`");
    }
}

fn collect(schema: &serde_json::Value, fields: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                if key == "properties" {
                    fields.extend(value.as_object().unwrap().keys().cloned());
                }
                collect(value, fields);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, fields)),
        _ => {}
    }
}

//! Documents say what holds where a configuration says nothing: the parser must agree.

use std::path::Path;
use std::time::Duration;

use causeway_config::{Config, Limits, parse};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository")
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).expect("it is there")
}

/// The reference fleet, with some lines more.
fn with(lines: &str) -> Config {
    let file = root().join("deploy/examples/reference-fleet/causeway.yaml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    match parse(format!("{text}\n{lines}").as_bytes(), &file) {
        Ok(parsed) => parsed.config,
        Err(faults) => panic!("{lines}: {faults}"),
    }
}

/// Fields and their defaults, of the table whose fields are those of `section`.
fn defaults<'a>(text: &'a str, section: &str) -> Vec<(&'a str, &'a str)> {
    let (_, table) = text.split_once(&format!("| field of `{section}` |")).expect("the table is there");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        (cells[1], cells[3])
    })
    .collect()
}

#[test]
fn what_is_said_to_be_the_default_changes_nothing() {
    let text = document("configuration.md");
    let (plain, rows) = (with(""), defaults(&text, "limits"));
    assert!(rows.len() > 10, "{rows:?}");
    for (field, default) in rows {
        let line = match field.split_once('.') {
            Some((group, field)) => format!("limits: {{{group}: {{{field}: {default}}}}}"),
            None => format!("limits: {{{field}: {default}}}"),
        };
        assert_eq!(with(&line).limits, plain.limits, "{line}");
    }
}

/// 10000 as `10,000`.
fn grouped(number: Option<u32>) -> String {
    let number = number.expect("there is a limit").to_string();
    match number.len() {
        0..=3 => number,
        length => format!("{},{}", &number[..length - 3], &number[length - 3..]),
    }
}

#[test]
fn the_limits_of_the_threat_model_are_the_defaults() {
    let text = document("security.md");
    let limits = Limits::default();
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    let kib = |bytes: u32| format!("{} KiB", bytes >> 10);
    for (limit, default) in [
        ("PROXY header", seconds(limits.proxy_header_timeout)),
        ("TLS handshake", seconds(limits.handshake_timeout)),
        ("request head", seconds(limits.request_header_timeout)),
        ("between requests", seconds(limits.idle_timeout)),
        (
            "HTTP/2 preface, HTTP/2 without a request",
            format!("{}, {}", seconds(limits.http2.preface_timeout), seconds(limits.http2.idle_timeout)),
        ),
        ("body or response without a byte", seconds(limits.body_idle_timeout)),
        ("body of which the backend takes nothing", seconds(limits.body_idle_timeout)),
        (
            "request line, head, fields",
            format!("{}, {}, {}", kib(limits.request_line), kib(limits.request_header), limits.request_fields),
        ),
        ("connections", format!("{}, of one client {}", grouped(limits.connections), grouped(limits.connections_per_client))),
        ("TLS handshakes of one client", format!("{} a second", grouped(limits.handshakes_per_client))),
        ("age of a connection", format!("{} h", limits.connection_age.as_secs() / 3600)),
        ("HTTP/2 streams", limits.http2.streams.to_string()),
        (
            "PING, SETTINGS, PRIORITY, RST_STREAM, empty DATA and unknown frames",
            format!("{} a second", grouped(Some(limits.http2.control_frames))),
        ),
    ] {
        let row =
            text.lines().find_map(|line| line.strip_prefix(&format!("| {limit} | "))).unwrap_or_else(|| panic!("no {limit}"));
        assert!(row.starts_with(&default), "{limit}: {default} is not {row}");
    }
}

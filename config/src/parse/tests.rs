#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::ids::{CaRef, ObjectName};
use crate::model::{ClientCa, Kubeconfig, PlainMode, Source};

fn ok(text: &str) -> Parsed {
    parse(text.as_bytes(), Path::new("dir/causeway.yaml")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn only_fault(bytes: &[u8]) -> Fault {
    let errors = parse(bytes, Path::new("f")).unwrap_err();
    assert_eq!(errors.errors.len(), 1, "{errors}");
    errors.errors[0].clone()
}

#[test]
fn bytes_that_are_not_utf8_are_named_with_their_place() {
    let fault = only_fault(b"clusters:\n  \xc3\xa4\xff: {}\n");
    assert_eq!((fault.line, fault.column, fault.kind), (2, 4, FaultKind::Encoding));
    assert!(fault.message.contains("0xff"), "{}", fault.message);
    assert!(only_fault(b"\xff\xfec\0l\0").message.contains("UTF-16"));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
    assert_eq!(ok("\u{feff}clusters:\r\n  home: {}\r\n").config, ok("clusters:\n  home: {}\n").config);
}

#[test]
fn a_file_beyond_the_limit_is_refused_before_it_is_parsed() {
    let comment = "#".repeat(10 << 20);
    assert_eq!(only_fault(comment.as_bytes()).kind, FaultKind::TooLarge);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, comment.as_bytes()).unwrap();
    assert_eq!(load(file.path()).unwrap_err().errors[0].kind, FaultKind::TooLarge);
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("absent.yaml"), dir.path().to_path_buf()] {
        let errors = load(&path).unwrap_err();
        assert_eq!(errors.errors[0].kind, FaultKind::Unreadable);
        assert!(errors.to_string().starts_with(&path.display().to_string()));
    }
}

#[test]
fn more_values_than_any_configuration_has_are_refused() {
    // A dense megabyte: a value every two bytes.
    let text = format!("clusters: [{}a]", "a,".repeat(500_000));
    assert_eq!(only_fault(text.as_bytes()).kind, FaultKind::TooLarge);
}

#[test]
fn every_network_of_a_long_list_is_read() {
    let lines: Vec<_> = (0..40_000u32).map(|i| format!("    {}/32: DE", std::net::Ipv4Addr::from(i * 256))).collect();
    let text = format!("clusters: {{home: {{}}}}\ngeo:\n  networks:\n{}\n", lines.join("\n"));
    assert_eq!(ok(&text).config.geo.networks.len(), 40_000);
}

#[test]
fn more_clusters_or_addresses_than_any_fleet_has_are_refused() {
    let names: Vec<_> = (0..1001).map(|i| format!("c{i}: {{}}")).collect();
    // One fault: a name in `prefer` is not called unknown on top.
    let fault = only_fault(format!("clusters: {{{}}}\ngeo: {{prefer: {{default: [x]}}}}", names.join(", ")).as_bytes());
    assert_eq!((fault.kind, fault.path.as_str()), (FaultKind::TooLarge, "clusters"));
    let addresses: Vec<_> = (0..65).map(|i| format!("127.0.0.{i}:0")).collect();
    let fault = only_fault(format!("clusters: {{a: {{}}}}\nlisten: {{health: {{bind: {addresses:?}}}}}").as_bytes());
    assert_eq!((fault.kind, fault.path.as_str()), (FaultKind::TooLarge, "listen.health.bind"));
}

#[test]
fn messages_carry_no_control_characters_and_little_text() {
    let text = format!("clusters: {{a: {{location: \"\\e[2J\\n{}\"}}}}\n\"\\r\": 1", "x".repeat(10_000));
    let shown = parse(text.as_bytes(), Path::new("f")).unwrap_err().to_string();
    assert!(shown.contains("\\u{1b}[2J\\nxxx") && shown.contains("`\\r`") && shown.len() < 1000, "{shown}");
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()) && shown.lines().count() == 4, "{shown}");
}

#[test]
fn faults_without_end_are_cut_and_counted() {
    let unknown: Vec<_> = (0..5000).map(|i| format!("x{i}: 1")).collect();
    let text = format!("clusters: {{home: {{}}}}\n{}\n", unknown.join("\n"));
    let errors = parse(text.as_bytes(), Path::new("f")).unwrap_err();
    assert_eq!((errors.errors.len(), errors.omitted), (crate::MAX_FAULTS, 5000 - crate::MAX_FAULTS));
    assert_eq!(errors.errors[0].path, "x0");
}

#[test]
fn the_order_of_clusters_is_kept() {
    let config = ok("clusters: {zebra: {}, ant: {}, bee: {}}").config;
    let names: Vec<_> = config.clusters.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(names, ["zebra", "ant", "bee"]);
}

#[test]
fn relative_paths_start_from_the_files_folder() {
    let config = ok("clusters: {a: {manifests: lab}, b: {kubeconfig: /etc/b.yaml}}\ngeo: {database: ../geo.mmdb}").config;
    assert_eq!(config.clusters[0].source, Source::Manifests("dir/lab".into()));
    assert_eq!(
        config.clusters[1].source,
        Source::ApiServer {
            kubeconfig: Some(Kubeconfig { path: "/etc/b.yaml".into(), context: None }),
            namespaces: None,
            nodes: true
        }
    );
    assert_eq!(config.geo.database, Some("dir/../geo.mmdb".into()));
}

#[test]
fn a_fleet_with_certificates_listens_for_its_peers_by_itself() {
    let tls = "fleet: {tls: {ca: a, cert: b, key: c}}\nclusters: {a: {}}\n";
    assert_eq!(ok(tls).config.listen.peer, Some(vec!["0.0.0.0:8444".parse().unwrap()]));
    assert_eq!(ok(&format!("{tls}listen: {{peer: off}}")).config.listen.peer, None);
    assert_eq!(ok("clusters: {a: {}}").config.listen.peer, None);
}

#[test]
fn a_plain_listener_redirects_and_speaks_http2_only_where_it_serves() {
    let plain = |listen: &str| ok(&format!("clusters: {{a: {{}}}}\nlisten: {{http: {listen}}}")).config.listen.plain;
    assert_eq!(plain("{}"), crate::Plain { mode: PlainMode::Redirect, h2c: false });
    assert_eq!(plain("{mode: proxy}"), crate::Plain { mode: PlainMode::Proxy, h2c: false });
    assert_eq!(plain("{mode: proxy, h2c: true}"), crate::Plain { mode: PlainMode::Proxy, h2c: true });
    let fault = only_fault(b"clusters: {a: {}}\nlisten: {http: {h2c: true}}");
    assert_eq!((fault.kind, fault.path.as_str()), (FaultKind::Conflict, "listen.http.h2c"));
    assert!(fault.remedy.contains("mode: proxy"), "{fault:?}");
}

#[test]
fn authorities_of_clients_stand_in_one_place() {
    let read = |text: &str| ok(&format!("clusters: {{a: {{}}}}\nhosts: {{x.example: {{clientCertificates: {text}}}}}")).config;
    let ca = |text: &str| read(text).hosts.into_values().next().unwrap().client_certificates.unwrap().ca;
    assert_eq!(ca("{ca: p.crt}"), ClientCa::File("dir/p.crt".into()));
    assert_eq!(ca("{secret: pki/partners}"), ClientCa::Object(CaRef::Secret(ObjectName::new("pki", "partners"))));
    assert_eq!(ca("{configMap: pki/partners}"), ClientCa::Object(CaRef::ConfigMap(ObjectName::new("pki", "partners"))));
    for (text, kind, path) in [
        ("{}", FaultKind::MissingField, ""),
        ("{ca: p.crt, secret: a/b}", FaultKind::Conflict, ""),
        ("{secret: a/b, configMap: a/b}", FaultKind::Conflict, ""),
        ("{secret: partners}", FaultKind::BadValue, ".secret"),
    ] {
        let text = format!("clusters: {{a: {{}}}}\nhosts: {{x.example: {{clientCertificates: {text}}}}}");
        let fault = only_fault(text.as_bytes());
        assert_eq!((fault.kind, &*fault.path), (kind, &*format!("hosts.\"x.example\".clientCertificates{path}")), "{text}");
    }
}

#[test]
fn the_hash_sees_values_and_not_their_layout() {
    let hash = |text: &str| ok(text).hash;
    let plain = hash("clusters: {a: {weight: 2}, b: {weight: 2}}");
    assert_eq!(plain, hash("# why\nclusters:\n  \"a\": &x\n    weight: 2\n  b: *x\n"));
    assert_ne!(plain, hash("clusters: {b: {weight: 2}, a: {weight: 2}}"), "the order of clusters has a meaning");
    assert_ne!(plain, hash("clusters: {a: {weight: 2}, b: {weight: 3}}"));
    assert_ne!(hash("clusters: {ab: {}}"), hash("clusters: {a: {}}"));
    // Fixed, since edges of two versions compare it during an upgrade.
    let fixed = "7176bb4134624d82935df6bc393a52742324a2ec9cff65c160006a25843ce0b1";
    assert_eq!(hash("clusters: {a: {}}").to_string(), fixed);
}

#[test]
fn home_is_one_of_the_clusters_or_an_error_that_names_them() {
    let config = ok("clusters: {aws: {}, azure: {}}").config;
    assert_eq!(config.home("azure").unwrap().id.as_str(), "azure");
    let error = config.home("azrue").unwrap_err();
    assert_eq!(
        error.to_string(),
        "home is `azrue`, and the configuration has no such cluster: did you mean `azure`? Else the clusters are `aws` and `azure`"
    );
    assert!(config.cluster(&"aws".parse().unwrap()).is_some() && config.cluster(&"gone".parse().unwrap()).is_none());
}

#[test]
fn errors_serialise_for_programs() {
    let errors = parse(b"clusters: {a: {weight: -1}}", Path::new("c.yaml")).unwrap_err();
    let expected = serde_json::json!({
        "file": "c.yaml",
        "errors": [{
            "line": 1, "column": 24, "path": "clusters.a.weight", "kind": "badValue",
            "message": "-1 is no weight", "remedy": "write 0 or more: 1 is normal, 0.1 a tenth, 0 nothing new",
        }],
        "omitted": 0,
    });
    assert_eq!(serde_json::to_value(errors).unwrap(), expected);
}

/// Texts that are nearly configurations: fields and values of the schema, in any order and nesting.
fn nearly() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "clusters",
        "aws",
        "azure",
        "location",
        "lat",
        "lon",
        "us-east-1",
        "hosts",
        "allow",
        "owners",
        "prefer",
        "geo",
        "networks",
        "10.0.0.0/8",
        "DE",
        "reach",
        "direct",
        "plaintext",
        "true",
        "null",
        "~",
        "1.2",
        "-1",
        "listen",
        "https",
        "bind",
        "0.0.0.0:443",
        "off",
        "*a",
        "&a",
        "!!str",
        "'",
        "\"",
        "<<",
        "peers",
        "dns",
        "tls",
        "files",
        "forever",
        "upstream",
        "attempts",
        "é",
        "\t",
        "|",
    ]);
    let glue = prop::sample::select(vec![": ", ", ", "{", "}", "[", "]", "\n", "\n  ", "\n    ", "\n- ", "---\n", " #", ""]);
    prop::collection::vec((word, glue), 0..60).prop_map(|parts| parts.into_iter().flat_map(|(w, g)| [w, g]).collect())
}

/// A structured value under each field, so that the later phases are reached.
fn shaped() -> impl Strategy<Value = String> {
    let fields = prop::sample::select(vec![
        "fleet",
        "listen",
        "clusters",
        "geo",
        "hosts",
        "strictHosts",
        "ingressClasses",
        "sameness",
        "tls",
        "upstream",
        "responses",
        "accessLog",
    ]);
    let leaf = prop::sample::select(vec![
        "a",
        "1",
        "-1.5",
        "true",
        "~",
        "''",
        "off",
        "10.0.0.0/8",
        "0.0.0.0:443",
        "1h",
        "forever",
        "direct",
        "edge",
        "DE",
        "'*'",
        "é",
    ]);
    let keys = prop::sample::select(vec![
        "a",
        "tls",
        "https",
        "bind",
        "prefer",
        "default",
        "countries",
        "DE",
        "reach",
        "direct",
        "plaintext",
        "peers",
        "allow",
        "owners",
        "location",
        "lat",
        "networks",
        "10.0.0.0/8",
        "mode",
        "from",
        "proxyProtocol",
        "files",
        "weight",
        "podCIDRs",
        "maxStale",
    ]);
    let value = leaf.prop_map(str::to_owned).prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((keys.clone(), inner), 0..5).prop_map(|entries| {
                let entries: Vec<_> = entries.into_iter().map(|(k, v)| format!("\"{k}\": {v}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    });
    prop::collection::vec((fields, value), 0..8).prop_map(|fields| {
        let lines: Vec<_> = fields.into_iter().map(|(field, value)| format!("{field}: {value}")).collect();
        lines.join("\n")
    })
}

fn never_panics(bytes: &[u8]) {
    let lines = bytes.split(|b| *b == b'\n').count() + 1;
    if let Err(errors) = parse(bytes, Path::new("f")) {
        assert!(!errors.errors.is_empty());
        for fault in &errors.errors {
            assert!(fault.line >= 1 && fault.column >= 1 && fault.line as usize <= lines, "{fault:?} in {lines} lines");
            assert!(!fault.message.is_empty() && !fault.remedy.is_empty(), "{fault:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        never_panics(&bytes);
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        never_panics(text.as_bytes());
    }

    #[test]
    fn anything_like_yaml_is_answered(text in nearly()) {
        never_panics(text.as_bytes());
    }

    #[test]
    fn anything_like_a_configuration_is_answered(text in shaped()) {
        never_panics(text.as_bytes());
    }
}

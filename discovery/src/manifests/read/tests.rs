#![allow(clippy::unwrap_used)]
use super::*;

use proptest::prelude::*;
use zeroize::Zeroizing;

fn lab() -> ClusterId {
    "lab".parse().unwrap()
}

fn scan(files: &[(&str, &str)]) -> Scan {
    let files = files.iter().map(|(path, text)| bytes(path, text.as_bytes()));
    Scan { files: files.collect(), ..Scan::default() }
}

fn bytes(path: &str, bytes: &[u8]) -> File {
    File { path: path.into(), content: Ok(Zeroizing::new(bytes.to_vec())) }
}

fn fault(path: &str, fault: Fault) -> Scan {
    Scan { files: vec![File { path: path.into(), content: Err(fault) }], ..Scan::default() }
}

fn denied() -> Fault {
    Fault::Io(std::io::ErrorKind::PermissionDenied.into())
}

/// A Service with one port, as a document.
fn service(name: &str, port: u16) -> String {
    format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n")
}

const BROKEN: &str = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web\n";

/// Every Service and its first port.
fn services(contents: &Contents) -> Vec<(String, u16)> {
    let (state, _) = contents.assemble(&lab());
    state.objects.services.iter().map(|(name, service)| (name.name.to_string(), service.ports[0].port)).collect()
}

fn expect(contents: &Contents, expected: &[(&str, u16)]) {
    let expected: Vec<_> = expected.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect();
    assert_eq!(services(contents), expected);
}

fn problems(contents: &Contents) -> Vec<String> {
    contents.assemble(&lab()).0.diagnostics.iter().map(|d| format!("{}: {}", d.object, d.problem)).collect()
}

#[test]
fn a_broken_document_keeps_what_its_file_gave_before() {
    let good = Contents::default().next(&lab(), scan(&[("a.yaml", &(service("cart", 1) + &service("web", 1)))]));
    let broken = good.next(&lab(), scan(&[("a.yaml", &(service("cart", 2) + BROKEN))]));
    expect(&broken, &[("cart", 2), ("web", 1)]);
    // For as long as it takes.
    let still = broken.next(&lab(), scan(&[("a.yaml", &(service("cart", 3) + BROKEN))]));
    expect(&still, &[("cart", 3), ("web", 1)]);
    assert!(problems(&still)[1].ends_with("what it said before stays in effect: Service default/web"));
    let mended = still.next(&lab(), scan(&[("a.yaml", &(service("cart", 3) + &service("web", 4)))]));
    expect(&mended, &[("cart", 3), ("web", 4)]);
    assert!(problems(&mended).is_empty());
}

#[test]
fn documents_inserted_and_deleted_around_a_broken_one_confuse_nothing() {
    let before = service("a", 1) + &service("b", 1) + &service("c", 1);
    let good = Contents::default().next(&lab(), scan(&[("x.yaml", &before)]));
    let after = service("new", 2) + BROKEN + &service("c", 2);
    expect(&good.next(&lab(), scan(&[("x.yaml", &after)])), &[("a", 1), ("b", 1), ("c", 2), ("new", 2)]);
}

#[test]
fn an_object_whose_name_is_known_stays_alone() {
    let good = Contents::default().next(&lab(), scan(&[("a.yaml", &(service("web", 1) + &service("cart", 1)))]));
    let mistyped = service("web", 2).replace("port: 2", "port: \"2\"");
    // cart was deleted in the same save, and nothing says that it was not meant.
    expect(&good.next(&lab(), scan(&[("a.yaml", &mistyped)])), &[("web", 1)]);
}

#[test]
fn a_deleted_document_or_file_takes_its_objects_along() {
    let good = Contents::default()
        .next(&lab(), scan(&[("a.yaml", &(service("a", 1) + &service("b", 1))), ("c.yaml", &service("c", 1))]));
    let less = good.next(&lab(), scan(&[("a.yaml", &service("a", 1))]));
    expect(&less, &[("a", 1)]);
    let broken = less.next(&lab(), scan(&[("a.yaml", BROKEN)]));
    expect(&broken, &[("a", 1)]);
    expect(&broken.next(&lab(), scan(&[])), &[]);
}

#[test]
fn an_object_that_moved_to_another_file_is_taken_from_there() {
    let good = Contents::default().next(&lab(), scan(&[("a.yaml", &service("web", 1))]));
    let moved = good.next(&lab(), scan(&[("a.yaml", BROKEN), ("b.yaml", &service("web", 2))]));
    expect(&moved, &[("web", 2)]);
}

#[test]
fn a_file_that_cannot_be_read_keeps_everything() {
    let good = Contents::default().next(&lab(), scan(&[("a.yaml", &service("web", 1))]));
    for fault_now in [Fault::TooLong, denied()] {
        expect(&good.next(&lab(), fault("a.yaml", fault_now)), &[("web", 1)]);
    }
    let not_utf8 = Scan { files: vec![bytes("a.yaml", b"# one\n# two \xff\n")], ..Scan::default() };
    let not_utf8 = good.next(&lab(), not_utf8);
    expect(&not_utf8, &[("web", 1)]);
    assert!(problems(&not_utf8)[0].contains("line 2 is not UTF-8"));
}

#[test]
fn a_folder_that_cannot_be_listed_keeps_the_files_below_it() {
    let good = Contents::default().next(&lab(), scan(&[("shop/a.yaml", &service("a", 1)), ("shop/b.yaml", &service("b", 1))]));
    expect(&good.next(&lab(), fault("shop", denied())), &[("a", 1), ("b", 1)]);
}

#[test]
fn the_first_file_wins_a_name() {
    let twice = Contents::default().next(&lab(), scan(&[("b.yaml", &service("web", 2)), ("a.yaml", &service("web", 1))]));
    expect(&twice, &[("web", 1)]);
    assert_eq!(problems(&twice), ["Service default/web: stands in b.yaml, document 1, and before that in a.yaml, document 1"]);
}

#[test]
fn json_is_read_and_its_faults_have_a_place() {
    let text = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 1}]}}"#;
    let good = Contents::default().next(&lab(), scan(&[("a.json", text)]));
    expect(&good, &[("web", 1)]);
    let broken = good.next(&lab(), scan(&[("a.json", &text.replace("\"kind\":", "\n\"kind\""))]));
    expect(&broken, &[("web", 1)]);
    assert!(problems(&broken)[0].starts_with("a.json, document 1: cannot be read at line 2, column "), "{:?}", problems(&broken));
    expect(&Contents::default().next(&lab(), scan(&[("empty.json", " \n")])), &[]);
}

#[test]
fn what_is_nested_too_deeply_is_a_diagnostic() {
    for (path, open, close) in [("a.yaml", "[", "]"), ("a.yaml", "{a: ", "}"), ("a.json", "[", "]")] {
        let deep = open.repeat(100_000) + &close.repeat(100_000);
        let contents = Contents::default().next(&lab(), scan(&[(path, &deep)]));
        assert_eq!(problems(&contents).len(), 1);
    }
    let indented = (0..2_000).fold(String::new(), |text, depth| text + &" ".repeat(depth) + "a:\n");
    assert_eq!(problems(&Contents::default().next(&lab(), scan(&[("a.yaml", &indented)]))).len(), 1);
}

#[test]
fn no_diagnostic_quotes_a_secret() {
    let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\n";
    for body in [
        "data: {tls.key: MATERIAL!}",
        "data: {tls.key: [MATERIAL]}",
        "data: MATERIAL",
        "stringData: {tls.key: \"MATERIAL}",
        "stringData:\n  tls.key: x\n MATERIAL\n",
        "stringData: {MATERIAL: 1, MATERIAL: 2}",
        "stringData: {a: *MATERIAL}",
        "type: [MATERIAL]",
    ] {
        for path in ["a.yaml", "a.json"] {
            let contents = Contents::default().next(&lab(), scan(&[(path, &(head.to_owned() + body))]));
            let (state, secrets) = contents.assemble(&lab());
            assert_eq!(state.diagnostics.len(), 1, "{body}");
            assert!(!format!("{state:?} {secrets:?}").contains("MATERIAL"), "{body}: {:?}", state.diagnostics);
        }
    }
}

#[test]
fn a_file_that_did_not_change_is_not_read_again() {
    let first = Contents::default().next(&lab(), scan(&[("a.yaml", BROKEN), ("b.yaml", &service("b", 1))]));
    let second = first.next(&lab(), scan(&[("a.yaml", BROKEN), ("b.yaml", &service("b", 2))]));
    assert!(Arc::ptr_eq(&first.files[Path::new("a.yaml")], &second.files[Path::new("a.yaml")]));
    expect(&second, &[("b", 2)]);
    let all = [("a.yaml", BROKEN), ("b.yaml", &service("b", 2)), ("c.yaml", "")];
    for (files, is) in [(&all[..2], true), (&all[..1], false), (&all[1..2], false), (&all, false)] {
        assert_eq!(second.next(&lab(), scan(files)).is(&second), is, "{files:?}");
    }
    let unreadable = second.next(&lab(), fault("a.yaml", denied()));
    assert!(!unreadable.next(&lab(), fault("a.yaml", denied())).is(&unreadable), "nobody knows what is in it");
}

/// Pieces of manifests, right and wrong, that random texts are made of.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "---\n",
        "...\n",
        "apiVersion: v1\n",
        "apiVersion: networking.k8s.io/v1\n",
        "apiVersion: discovery.k8s.io/v1\n",
        "kind: Service\n",
        "kind: Ingress\n",
        "kind: EndpointSlice\n",
        "kind: Secret\n",
        "kind: List\n",
        "kind: IngressList\n",
        "metadata: {name: web}\n",
        "metadata: {name: \"\\0\", namespace: ''}\n",
        "metadata: {labels: {kubernetes.io/service-name: web}, name: web-1}\n",
        "addressType: IPv4\n",
        "ports: [{port: 80}, {port: -1}, {}]\n",
        "endpoints: [{addresses: [10.0.0.1]}, {addresses: []}]\n",
        "spec: {ports: [{port: 80}, {port: 99999999999}]}\n",
        "spec: {rules: [{host: '*.', http: {paths: [{path: '//', pathType: Prefix, backend: {}}]}}]}\n",
        "spec: &a {x: *a}\n",
        "items: [{kind: Service}, {apiVersion: v1, kind: List, items: [{}]}, 7]\n",
        "data: {tls.key: '='}\n",
        "  ",
        "- ",
        "\t",
        "\"",
        "é\u{feff}",
        "\r",
        "%YAML 1.2\n",
        "<<: [1]\n",
        "? !!binary x\n: !y\n",
        "|\n",
        "# ",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(
        first in prop_oneof![prop::collection::vec(any::<u8>(), 0..400), fragments()],
        second in fragments(),
        json in any::<bool>(),
    ) {
        let path = if json { "a.json" } else { "a.yaml" };
        let mut contents = Contents::default();
        for text in [&first, &second, &first] {
            contents = contents.next(&lab(), Scan { files: vec![bytes(path, text)], ..Scan::default() });
            contents.assemble(&lab());
        }
    }
}

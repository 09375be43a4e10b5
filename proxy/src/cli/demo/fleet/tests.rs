#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;

use causeway_core::cluster::ClusterState;

use super::*;

const ELSEWHERE: Network = Network { first: 127, number: 77, port: 18080 };

fn load(folder: &Path) -> Vec<ClusterState> {
    CLUSTERS.iter().map(|name| causeway_discovery::load(&name.parse().unwrap(), &folder.join(name)).0).collect()
}

fn pods(states: &[ClusterState]) -> Vec<SocketAddr> {
    states.iter().flat_map(|s| s.endpoints.values()).flat_map(|pool| pool.iter().map(|e| e.address)).collect()
}

#[test]
fn the_binary_holds_every_file_of_the_example() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/reference-fleet");
    let mut found = BTreeSet::new();
    for cluster in CLUSTERS {
        for entry in std::fs::read_dir(folder.join(cluster)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            // Keys that somebody made by hand, as the README says, are ignored by git.
            if !name.ends_with("-tls.yaml") {
                found.insert(format!("{cluster}/{name}"));
            }
        }
    }
    assert_eq!(found, MANIFESTS.iter().map(|(path, _)| (*path).to_owned()).collect());
}

#[test]
fn what_is_written_is_what_moved_addresses_say() {
    let folder = tempfile::tempdir().unwrap();
    write_manifests(folder.path()).unwrap();
    let expected: Vec<_> = pods(&load(folder.path())).into_iter().map(|pod| ELSEWHERE.moved(pod)).collect();
    assert_eq!(expected.len(), 14);
    assert!(expected.contains(&"127.77.2.31:18080".parse().unwrap()));
    write_moved(folder.path(), ELSEWHERE).unwrap();
    let states = load(folder.path());
    assert_eq!(pods(&states), expected);
    for state in states {
        assert!(state.diagnostics.is_empty(), "{:?}", state.diagnostics);
    }
}

#[test]
fn the_written_configuration_is_valid_and_listens_where_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("causeway.yaml");
    write_edge_certificates(folder.path(), &Certificates::make().unwrap()).unwrap();
    let peers = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    write_config(&path, "google", ELSEWHERE, Ports::of(Some(9000), 2), Read::Folders, Some(peers)).unwrap();
    let config = causeway_config::load(&path).unwrap().config;
    let at = |port: u16| vec![SocketAddr::from(([127, 0, 0, 1], port))];
    assert_eq!(config.listen.https.bind, at(9002));
    assert_eq!(config.listen.http.unwrap().bind, at(9012));
    assert_eq!(config.listen.health, at(9022));
    assert_eq!(config.listen.admin, at(9032));
    assert_eq!(config.listen.peer.unwrap(), at(9042));
    let of = |cluster: &causeway_config::Cluster| format!("{:?} {:?}", cluster.reach, cluster.peers);
    for (cluster, port) in config.clusters.iter().zip(1..) {
        assert!(of(cluster).starts_with("Edge") && of(cluster).contains(&format!("127.0.0.1:{port}")), "{}", of(cluster));
    }
    let trust = config.fleet.tls.unwrap();
    assert!(trust.ca.exists() && trust.cert.ends_with("google.crt") && trust.key.exists());
    let networks: Vec<_> = config.clusters.iter().flat_map(|c| c.pod_cidrs.iter().map(ToString::to_string)).collect();
    assert_eq!(networks, ["127.77.1.0/24", "127.77.2.0/24", "127.77.3.0/24"]);
}

#[test]
fn the_written_configuration_reads_from_api_servers_where_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("causeway.yaml");
    write_config(&path, "aws", Network::of_a_namespace(), Ports::default(), Read::Servers, None).unwrap();
    for cluster in causeway_config::load(&path).unwrap().config.clusters {
        let causeway_config::Source::ApiServer { kubeconfig: Some(read), .. } = &cluster.source else { panic!("{cluster:?}") };
        assert_eq!(read.path, kubeconfig(folder.path(), cluster.id.as_str()));
        assert!(!cluster.allow_loopback);
        assert!(cluster.pod_cidrs[0].to_string().starts_with("10.64."), "{:?}", cluster.pod_cidrs);
    }
}

#[test]
fn the_secrets_hold_pairs_that_fit_their_types() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make().unwrap();
    write_secrets(folder.path(), &certificates).unwrap();
    let (state, secrets) = causeway_discovery::load(&"azure".parse().unwrap(), &folder.path().join("azure"));
    assert!(state.diagnostics.is_empty(), "{:?}", state.diagnostics);
    for (name, made) in [("devfest/devfest-tls", &certificates.devfest), ("bank/bank-tls", &certificates.bank)] {
        let (_, secret) = secrets.iter().find(|(key, _)| key.name.to_string() == name).unwrap();
        let pair = secret.certificate_pair().unwrap();
        assert_eq!((pair.certificate.expose(), pair.key.expose()), (&made.cert[..], &made.key[..]), "{name}");
    }
}

#[test]
fn every_network_is_tried_once() {
    let all: Vec<_> = Network::candidates(u32::MAX).collect();
    assert_eq!(all.len(), 3 * 254);
    let numbers: BTreeSet<_> = all.iter().filter(|n| n.port == POD_PORT).map(|n| n.number).collect();
    assert_eq!(numbers, (1..=254).collect());
}

#![allow(clippy::unwrap_used)]
use super::*;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use causeway_config::{ObjectName, Scope};
use causeway_core::cluster::Service;
use causeway_core::time::Nanos;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::secret::{SecretBytes, SecretKind};

/// What a test lets a source say.
enum Say {
    State(&'static [&'static str]),
    Secrets(Secrets),
    End,
}

/// The sources that run, by the folder that they were opened for.
type Sources = Arc<Mutex<HashMap<PathBuf, mpsc::Sender<Say>>>>;

struct Puppet(mpsc::Receiver<Say>);

#[async_trait]
impl ClusterSource for Puppet {
    async fn run(mut self: Box<Self>, mut publisher: Publisher) {
        while let Some(say) = self.0.recv().await {
            match say {
                Say::State(services) => {
                    let mut state = ClusterState::syncing(publisher.cluster().clone());
                    state.freshness = Freshness::Synced;
                    Arc::make_mut(&mut state.objects).services = services
                        .iter()
                        .map(|name| {
                            let service = Service {
                                ports: Vec::new(),
                                external_name: false,
                                scope: Scope::Fleet,
                                balancers: Vec::new(),
                                tls: None,
                            };
                            (ObjectName::new("shop", *name), Arc::new(service))
                        })
                        .collect();
                    publisher.publish(state);
                }
                Say::Secrets(secrets) => publisher.publish_secrets(&secrets),
                Say::End => return,
            }
        }
    }
}

struct Fixture {
    hub: Hub,
    sources: Sources,
    wanted: watch::Sender<WantedSecrets>,
}

fn id(name: &str) -> ClusterId {
    name.parse().unwrap()
}

fn at(cluster: &str, folder: &str) -> (ClusterId, Source) {
    (id(cluster), Source::Manifests(folder.into()))
}

fn fixture(clusters: &[(&str, &str)]) -> Fixture {
    let sources = Sources::default();
    let factory: SourceFactory = Box::new({
        let sources = sources.clone();
        move |_, source| {
            let Source::Manifests(folder) = source else { unreachable!("the tests use folders only") };
            let (say, heard) = mpsc::channel(16);
            sources.lock().unwrap().insert(folder.clone(), say);
            Box::new(Puppet(heard))
        }
    });
    let (wanted, reader) = watch::channel(WantedSecrets::default());
    let mut hub = Hub::new(factory, reader, Timing::default(), Arc::new(|| Nanos(5)));
    hub.reconfigure(clusters.iter().map(|(cluster, folder)| at(cluster, folder)));
    Fixture { hub, sources, wanted }
}

impl Fixture {
    fn say(&self, folder: &str, say: Say) {
        self.sources.lock().unwrap()[&PathBuf::from(folder)].try_send(say).ok().unwrap();
    }

    async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_hours(1), self.hub.next()).await.is_err()
    }
}

fn services(update: &Update, cluster: usize) -> Vec<String> {
    update.clusters[cluster].objects.services.keys().map(|name| name.name.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_dark_cluster_holds_nobody_up() {
    let mut f = fixture(&[("aws", "a"), ("azure", "b")]);
    f.say("b", Say::State(&["web"]));
    let update = f.hub.next().await;
    assert_eq!(update.clusters.iter().map(|c| c.cluster.as_str()).collect::<Vec<_>>(), ["aws", "azure"]);
    assert_eq!(update.clusters[0].freshness, Freshness::Syncing);
    assert_eq!(services(&update, 1), ["web"]);
}

#[tokio::test(start_paused = true)]
async fn changes_in_a_burst_are_one_update() {
    let mut f = fixture(&[("aws", "a"), ("azure", "b")]);
    f.hub.next().await;
    tokio::time::sleep(Timing::default().ceiling).await;
    let began = Instant::now();
    f.say("a", Say::State(&["one"]));
    f.say("b", Say::State(&["two"]));
    f.say("a", Say::State(&["three"]));
    let update = f.hub.next().await;
    assert_eq!(began.elapsed(), Timing::default().quiet);
    assert_eq!((services(&update, 0), services(&update, 1)), (vec!["three".into()], vec!["two".into()]));
    assert!(f.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn what_changes_and_changes_back_is_no_update() {
    let mut f = fixture(&[("aws", "a")]);
    f.say("a", Say::State(&["web"]));
    f.hub.next().await;
    f.say("a", Say::State(&["web"]));
    assert!(f.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_did_not_change_is_the_same_arc_in_the_next_update() {
    let mut f = fixture(&[("aws", "a"), ("azure", "b")]);
    f.say("a", Say::State(&["web"]));
    let first = f.hub.next().await;
    f.say("b", Say::State(&["web"]));
    let second = f.hub.next().await;
    assert!(Arc::ptr_eq(&first.clusters[0].objects, &second.clusters[0].objects));
    assert!(Arc::ptr_eq(&first.secrets, &second.secrets));
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_clusters_whose_source_is_the_same() {
    let mut f = fixture(&[("aws", "a"), ("azure", "b"), ("google", "c")]);
    f.say("a", Say::State(&["web"]));
    f.say("b", Say::State(&["cart"]));
    let before = f.hub.next().await;

    // google goes, edge comes, azure comes first now and is read from elsewhere.
    f.hub.reconfigure([at("azure", "b2"), at("aws", "a"), at("edge", "d")]);
    let after = f.hub.next().await;
    assert_eq!(after.clusters.iter().map(|c| c.cluster.as_str()).collect::<Vec<_>>(), ["azure", "aws", "edge"]);
    assert!(Arc::ptr_eq(&before.clusters[0].objects, &after.clusters[1].objects));
    assert_eq!(after.clusters[1].freshness, Freshness::Synced);
    assert_eq!(after.clusters[0].freshness, Freshness::Stale(Nanos(5)));
    assert_eq!(services(&after, 0), ["cart"], "the last objects serve until the new source has its own");

    // The old task still listens to its folder's sender; the re-pointed one's is closed.
    f.say("a", Say::State(&["web", "bank"]));
    f.say("b2", Say::State(&["till"]));
    let last = f.hub.next().await;
    assert_eq!((services(&last, 0), services(&last, 1)), (vec!["till".into()], vec!["bank".into(), "web".into()]));
    assert!(f.sources.lock().unwrap()[&PathBuf::from("c")].is_closed());
    assert!(f.sources.lock().unwrap()[&PathBuf::from("b")].is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_leaves_its_cluster_stale() {
    let mut f = fixture(&[("aws", "a")]);
    f.say("a", Say::State(&["web"]));
    f.hub.next().await;
    f.say("a", Say::End);
    let update = f.hub.next().await;
    assert_eq!(update.clusters[0].freshness, Freshness::Stale(Nanos(5)));
    assert_eq!(services(&update, 0), ["web"]);
}

#[tokio::test(start_paused = true)]
async fn secrets_come_beside_the_states_and_only_when_wanted() {
    let mut f = fixture(&[("aws", "a"), ("azure", "b")]);
    let secret = Arc::new(Secret::new(SecretKind::Tls, [("tls.key".to_owned(), SecretBytes::new(b"MATERIAL".to_vec()))]));
    let name = Key::secret(ObjectName::new("shop", "tls"));
    let other = Key::secret(ObjectName::new("shop", "other"));
    let secrets = Secrets::from([(name.clone(), secret), (other, Arc::new(Secret::new(SecretKind::Tls, [])))]);
    f.hub.next().await;
    f.wanted.send_replace(Arc::new(BTreeSet::from([(id("azure"), name.clone())])));
    f.say("a", Say::Secrets(secrets.clone()));
    f.say("b", Say::Secrets(secrets));
    let update = f.hub.next().await;
    assert_eq!(update.secrets.keys().collect::<Vec<_>>(), [&(id("azure"), name)]);
    assert!(!format!("{update:?}").contains("MATERIAL"));
}

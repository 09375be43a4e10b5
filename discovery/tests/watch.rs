//! Folders that really change, followed by a [`ManifestSource`] in a [`Hub`]. Nothing here sleeps: every test waits for
//! the state that must come, and gives up after [`PATIENCE`].

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use causeway_config::{ClusterId, ObjectName, Source};
use causeway_core::cluster::Freshness;
use causeway_core::time::Nanos;
use causeway_discovery::translate::Key;
use causeway_discovery::{Hub, ManifestSource, Timing, Update, WantedSecrets};
use tokio::sync::watch;

/// Less than the time after which a folder is read without any event, so that only events can pass the tests.
const PATIENCE: Duration = Duration::from_secs(8);

struct Lab {
    hub: Hub,
    wanted: watch::Sender<WantedSecrets>,
    _root: tempfile::TempDir,
    folder: PathBuf,
}

fn lab_id() -> ClusterId {
    "lab".parse().unwrap()
}

/// A hub that follows `root/lab`, which `prepare` may fill first.
fn lab(prepare: impl FnOnce(&Path)) -> Lab {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("lab");
    prepare(&folder);
    let factory = Box::new(|_: &ClusterId, source: &Source| match source {
        Source::Manifests(folder) => Box::new(ManifestSource::new(folder)) as Box<_>,
        Source::ApiServer { .. } => unreachable!("the tests use folders only"),
    });
    let (wanted, reader) = watch::channel(WantedSecrets::default());
    let mut hub = Hub::new(factory, reader, Timing::default(), Arc::new(|| Nanos(5)));
    hub.reconfigure([(lab_id(), Source::Manifests(folder.clone()))]);
    Lab { hub, wanted, _root: root, folder }
}

impl Lab {
    /// Waits for an update that `is` true of.
    async fn until(&mut self, what: &str, is: impl Fn(&Update) -> bool) -> Update {
        let mut last = None;
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let update = self.hub.next().await;
                if is(&update) {
                    return update;
                }
                last = Some(update);
            }
        });
        let found = found.await;
        found.unwrap_or_else(|_| panic!("no update with {what}; the last was {last:#?}"))
    }

    /// Waits until exactly these Services are there, up to date.
    async fn until_services(&mut self, names: &[&str]) -> Update {
        self.until(&format!("the Services {names:?}"), |update| {
            update.clusters[0].freshness == Freshness::Synced && services(update) == names
        })
        .await
    }
}

fn services(update: &Update) -> Vec<String> {
    update.clusters[0].objects.services.keys().map(|name| name.name.to_string()).collect()
}

fn service(name: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n")
}

#[tokio::test]
async fn a_file_that_is_written_changed_and_deleted_is_followed() {
    let mut lab = lab(|folder| fs::create_dir(folder).unwrap());
    lab.until_services(&[]).await;
    let file = lab.folder.join("a.yaml");
    fs::write(&file, service("one")).unwrap();
    lab.until_services(&["one"]).await;
    fs::write(&file, service("two")).unwrap();
    lab.until_services(&["two"]).await;
    fs::write(&file, "metadata: {").unwrap();
    let broken = lab.until("a diagnostic", |update| !update.clusters[0].diagnostics.is_empty()).await;
    assert_eq!(services(&broken), ["two"], "the last good version stays");
    fs::remove_file(&file).unwrap();
    lab.until_services(&[]).await;
}

#[tokio::test]
async fn an_editors_atomic_rename_is_followed() {
    let mut lab = lab(|folder| {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("a.yaml"), service("old")).unwrap();
    });
    lab.until_services(&["old"]).await;
    for name in ["first", "second"] {
        fs::write(lab.folder.join(".a.yaml.swp"), service(name)).unwrap();
        fs::rename(lab.folder.join(".a.yaml.swp"), lab.folder.join("a.yaml")).unwrap();
        lab.until_services(&[name]).await;
    }
}

#[tokio::test]
async fn folders_within_the_folder_are_followed() {
    let mut lab = lab(|folder| fs::create_dir(folder).unwrap());
    lab.until_services(&[]).await;
    fs::create_dir_all(lab.folder.join("shop/eu")).unwrap();
    fs::write(lab.folder.join("shop/eu/a.yaml"), service("one")).unwrap();
    lab.until_services(&["one"]).await;
    fs::write(lab.folder.join("shop/eu/b.yaml"), service("two")).unwrap();
    lab.until_services(&["one", "two"]).await;
    fs::rename(lab.folder.join("shop/eu"), lab.folder.join("shop/us")).unwrap();
    fs::write(lab.folder.join("shop/us/a.yaml"), service("three")).unwrap();
    lab.until_services(&["three", "two"]).await;
}

#[tokio::test]
async fn a_folder_that_does_not_exist_yet_is_waited_for() {
    let mut lab = lab(|_| {});
    let missing = lab.until("a diagnostic", |update| !update.clusters[0].diagnostics.is_empty()).await;
    assert_eq!(missing.clusters[0].freshness, Freshness::Syncing);
    assert!(missing.clusters[0].diagnostics[0].problem.starts_with("cannot be read"));
    fs::create_dir(&lab.folder).unwrap();
    fs::write(lab.folder.join("a.yaml"), service("one")).unwrap();
    let found = lab.until_services(&["one"]).await;
    assert!(found.clusters[0].diagnostics.is_empty());
}

#[tokio::test]
async fn a_folder_that_goes_and_comes_back_loses_nothing_meanwhile() {
    let mut lab = lab(|folder| {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("a.yaml"), service("one")).unwrap();
    });
    lab.until_services(&["one"]).await;
    let stale = |update: &Update| update.clusters[0].freshness == Freshness::Stale(Nanos(5));

    fs::rename(&lab.folder, lab.folder.with_file_name("away")).unwrap();
    let gone = lab.until("a stale cluster", stale).await;
    assert_eq!(services(&gone), ["one"], "the last objects serve on");
    fs::rename(lab.folder.with_file_name("away"), &lab.folder).unwrap();
    lab.until("a cluster that is no longer stale", |update| update.clusters[0].freshness == Freshness::Synced).await;

    fs::remove_dir_all(&lab.folder).unwrap();
    lab.until("a stale cluster", stale).await;
    fs::create_dir(&lab.folder).unwrap();
    fs::write(lab.folder.join("a.yaml"), service("two")).unwrap();
    lab.until_services(&["two"]).await;

    fs::remove_dir_all(&lab.folder).unwrap();
    lab.until("a stale cluster", stale).await;
    fs::create_dir(&lab.folder).unwrap();
    lab.until_services(&[]).await;
    // Every time the new folder is another inode, and changes in it must be told too.
    fs::write(lab.folder.join("b.yaml"), service("three")).unwrap();
    lab.until_services(&["three"]).await;
}

#[tokio::test]
async fn a_config_map_mount_that_swaps_its_generation_is_followed() {
    let generation = |folder: &Path, name: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("a.yaml"), service(name.trim_start_matches('.'))).unwrap();
    };
    let mut lab = lab(|folder| {
        fs::create_dir(folder).unwrap();
        generation(folder, "..one");
        symlink("..one", folder.join("..data")).unwrap();
        symlink("..data/a.yaml", folder.join("a.yaml")).unwrap();
    });
    lab.until_services(&["one"]).await;
    for (old, new) in [("..one", "..two"), ("..two", "..three")] {
        // What the kubelet does: a new generation, a link renamed over `..data`, the old generation removed.
        generation(&lab.folder, new);
        symlink(new, lab.folder.join("..data_tmp")).unwrap();
        fs::rename(lab.folder.join("..data_tmp"), lab.folder.join("..data")).unwrap();
        fs::remove_dir_all(lab.folder.join(old)).unwrap();
        lab.until_services(&[new.trim_start_matches('.')]).await;
    }
}

#[tokio::test]
async fn a_folder_behind_a_link_that_is_swapped_is_followed() {
    let mut lab = lab(|folder| {
        for name in ["one", "two"] {
            let release = folder.with_file_name(name);
            fs::create_dir(&release).unwrap();
            fs::write(release.join("a.yaml"), service(name)).unwrap();
        }
        symlink("one", folder).unwrap();
    });
    lab.until_services(&["one"]).await;
    let new = lab.folder.with_file_name("new");
    symlink("two", &new).unwrap();
    fs::rename(&new, &lab.folder).unwrap();
    lab.until_services(&["two"]).await;
    fs::write(lab.folder.join("b.yaml"), service("later")).unwrap();
    lab.until_services(&["later", "two"]).await;
}

#[tokio::test]
async fn a_secret_is_handed_out_from_when_it_is_wanted_until_it_is_not() {
    let mut lab = lab(|folder| {
        fs::create_dir(folder).unwrap();
        let secret = "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: tls}\nstringData: {tls.crt: c, tls.key: k}\n";
        fs::write(folder.join("a.yaml"), service("one") + "---\n" + secret).unwrap();
    });
    let update = lab.until_services(&["one"]).await;
    assert!(update.secrets.is_empty());
    let name = (lab_id(), Key::secret(ObjectName::new("default", "tls")));
    lab.wanted.send_replace(Arc::new(BTreeSet::from([name.clone()])));
    let update = lab.until("the Secret", |update| !update.secrets.is_empty()).await;
    assert_eq!(update.secrets[&name].certificate_pair().unwrap().key.expose(), b"k");
    lab.wanted.send_replace(WantedSecrets::default());
    lab.until("no Secret", |update| update.secrets.is_empty()).await;
}

//! Secrets and files to the certificate index.
//!
//! Where several have a host: files that the configuration names come first, then Secrets in the order that `compile` gives
//! (docs/certificates.md). A Secret is parsed once for as long as it does not change.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use causeway_certs::{
    Allowed, CertCell, CertError, CertIndex, CertPublisher, Certificate, DefaultOffer, Offer, Problem, ServerTls, TicketSecret,
};
use causeway_config::{CertFile, ClusterId, ClusterState, Config, DefaultCertificate, HostPattern, ObjectName};
use causeway_core::snapshot::SecretUse;
use causeway_core::{Diagnostic, Severity, Snapshot};
use causeway_discovery::translate::{Key, Kind};
use causeway_discovery::{Secret, SecretsView};

use crate::metrics::{self, CertificateSource};

/// How long a Secret that was just asked for may take to arrive before it is called missing, in seconds.
const ARRIVAL: i64 = 5;

const SELF_SIGNED: &str = "the self-signed default";

type Made = Result<Arc<Certificate>, CertError>;

/// What is known of certificates, and the one handle that publishes their index.
pub(super) struct Certificates {
    tls: ServerTls,
    publisher: CertPublisher,
    self_signed: Arc<Certificate>,
    files: BTreeMap<CertFile, Made>,
    secrets: BTreeMap<(ClusterId, ObjectName), (Arc<Secret>, Made)>,
    /// What the index was built of last.
    built_of: Option<Inputs>,
    /// Secrets that were just asked for, and until when they may be on their way.
    arriving: (BTreeSet<ObjectName>, i64),
    /// The last default that could be used, and what the configuration said then.
    last_default: Option<(DefaultCertificate, DefaultOffer)>,
    diagnostics: Vec<Diagnostic>,
}

struct Inputs {
    config: Arc<Config>,
    uses: Arc<[SecretUse]>,
    view: SecretsView,
}

impl Certificates {
    /// With a self-signed default only.
    pub(super) fn new(now: i64, tickets: TicketSecret) -> Result<(Self, CertCell), CertError> {
        let tls = ServerTls::new(tickets);
        let self_signed = Arc::new(causeway_certs::default_certificate(&tls, now)?);
        let default = DefaultOffer { source: SELF_SIGNED.into(), certificate: Arc::clone(&self_signed) };
        let (publisher, cell) = CertCell::new(CertIndex::build(Vec::new(), default, now).0);
        let certificates = Self {
            tls,
            publisher,
            self_signed,
            files: BTreeMap::new(),
            secrets: BTreeMap::new(),
            built_of: None,
            arriving: (BTreeSet::new(), 0),
            last_default: None,
            diagnostics: Vec::new(),
        };
        Ok((certificates, cell))
    }

    /// What is wrong with them now.
    pub(super) fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// These Secrets were not asked for before. Until they arrive, or are late, the index stays as it is: a host whose
    /// certificate moves to another Secret must not be served the default in between.
    pub(super) fn asked(&mut self, names: impl IntoIterator<Item = ObjectName>, now: i64) {
        self.arriving.0.extend(names);
        self.arriving.1 = now + ARRIVAL;
    }

    /// Whether Secrets that were asked for may still be on their way; never longer than [`ARRIVAL`] after the last was.
    pub(super) fn arriving(&self) -> bool {
        !self.arriving.0.is_empty()
    }

    /// Whether time alone has changed what there is to serve or to say: something expired, became valid, or did not arrive.
    pub(super) fn due(&mut self, now: i64) -> bool {
        let late = self.arriving() && self.arriving.1 <= now;
        if late {
            self.arriving.0.clear();
        }
        let due = late || self.publisher.current().changes_at().is_some_and(|at| at <= now);
        if due {
            self.built_of = None;
        }
        due
    }

    /// Reads every file anew at the next rebuild.
    pub(super) fn forget_files(&mut self) {
        self.files.clear();
        self.built_of = None;
    }

    /// Builds and publishes the index, if what it is made of changed. Returns whether all of it was usable; `None` if nothing
    /// was done.
    pub(super) fn rebuild(&mut self, config: &Arc<Config>, snapshot: &Snapshot, view: &SecretsView, now: i64) -> Option<bool> {
        let same =
            |built: &Inputs| built.config.tls == config.tls && built.uses == snapshot.secrets && Arc::ptr_eq(&built.view, view);
        if self.built_of.as_ref().is_some_and(same) {
            return None;
        }
        let secrets = view.keys().filter(|(_, key)| key.kind == Kind::Secret);
        let present: HashSet<&ObjectName> = secrets.map(|(_, key)| &key.name).collect();
        self.arriving.0.retain(|name| !present.contains(name));
        if self.arriving() {
            return None;
        }
        let mut missing = BTreeMap::new();
        let mut offers = Vec::new();
        for file in &config.tls.files {
            offers.push(offer(file_source(file), offers.len(), (Allowed::Any, Vec::new()), self.file(file)));
        }
        self.secrets.retain(|(cluster, name), _| find(view, cluster, name).is_some());
        let mut granted = Granted::default();
        for used in snapshot.secrets.iter() {
            match find(view, &used.cluster, &used.secret) {
                Some(secret) => {
                    let made = self.secret(&used.cluster, &used.secret, secret);
                    let usable = made.as_ref().is_ok_and(|made| made.validity().contains(now));
                    let hosts = granted.rest(used, usable);
                    if !hosts.is_empty() {
                        let may = (allowed(hosts), used.except.clone());
                        offers.push(offer(secret_source(&used.cluster, &used.secret), offers.len(), may, made));
                    }
                }
                None if present.contains(&used.secret) => {}
                None => drop(missing.entry(&used.secret).or_insert(&used.cluster)),
            }
        }
        let (default, problem) = self.default(snapshot, view);
        let (index, problems) = self.publisher.current().rebuild(offers, default, now);
        self.publisher.publish(index);
        let mut diagnostics: Vec<Diagnostic> = problems.into_iter().map(diagnostic).chain(problem).collect();
        diagnostics.extend(missing.into_iter().map(|(secret, cluster)| not_found(cluster, secret)));
        let usable = diagnostics.iter().all(|d| d.severity != Severity::Error);
        self.diagnostics = diagnostics;
        self.built_of = Some(Inputs { config: Arc::clone(config), uses: Arc::clone(&snapshot.secrets), view: Arc::clone(view) });
        Some(usable)
    }

    /// What metrics tell of the certificates in use.
    pub(super) fn for_metrics(&self) -> Vec<metrics::Certificate> {
        let index = self.publisher.current();
        let kind = |source: &str| match source {
            SELF_SIGNED => CertificateSource::SelfSigned,
            _ if source.starts_with("Secret ") => CertificateSource::Secret,
            _ => CertificateSource::File,
        };
        let tell = |entry: causeway_certs::IndexEntry<'_>| metrics::Certificate {
            name: entry.name.to_string().into(),
            source: kind(entry.source),
            not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(entry.not_after.max(0) as u64),
        };
        index.entries().into_iter().map(tell).collect()
    }

    fn file(&mut self, file: &CertFile) -> Made {
        let tls = &self.tls;
        let make = || {
            let pair = causeway_certs::files::load(file)?;
            Certificate::from_pem(&pair.cert, &pair.key, tls).map(Arc::new)
        };
        self.files.entry(file.clone()).or_insert_with(make).clone()
    }

    fn secret(&mut self, cluster: &ClusterId, name: &ObjectName, secret: &Arc<Secret>) -> Made {
        let key = (cluster.clone(), name.clone());
        if let Some((known, made)) = self.secrets.get(&key)
            && (Arc::ptr_eq(known, secret) || known == secret)
        {
            return made.clone();
        }
        let made = secret
            .certificate_pair()
            .map_err(|error| CertError::NoPair { reason: error.to_string() })
            .and_then(|pair| Certificate::from_pem(pair.certificate.expose(), pair.key.expose(), &self.tls).map(Arc::new));
        self.secrets.insert(key, (Arc::clone(secret), made.clone()));
        made
    }

    fn default(&mut self, snapshot: &Snapshot, view: &SecretsView) -> (DefaultOffer, Option<Diagnostic>) {
        let self_signed = DefaultOffer { source: SELF_SIGNED.into(), certificate: Arc::clone(&self.self_signed) };
        let Some(wanted) = &snapshot.config.tls.default else { return (self_signed, None) };
        let (source, made) = match wanted {
            DefaultCertificate::Files(file) => (file_source(file), self.file(file)),
            DefaultCertificate::Secret(name) => {
                let asked = default_secrets(snapshot);
                match asked.iter().find_map(|(cluster, name)| Some((cluster, find(view, cluster, name)?))) {
                    Some((cluster, secret)) => (secret_source(cluster, name), self.secret(cluster, name, secret)),
                    None => (format!("Secret {name}"), Err(CertError::NoPair { reason: "no cluster has this Secret".into() })),
                }
            }
        };
        match made {
            Ok(certificate) => {
                let offer = DefaultOffer { source, certificate };
                self.last_default = Some((wanted.clone(), offer.clone()));
                (offer, None)
            }
            Err(error) => {
                // A renewal that is half written must not show clients a stranger.
                let kept = self.last_default.as_ref().filter(|(said, _)| said == wanted).map(|(_, offer)| offer.clone());
                (kept.unwrap_or(self_signed), Some(diagnostic(Problem::broken(&source, &error))))
            }
        }
    }
}

/// Which hosts each Secret's name serves already, by the copy of a cluster that comes first. The copies of one Secret are
/// versions of one object: a later cluster's answers only what the earlier ones may not, or cannot.
#[derive(Default)]
struct Granted<'s>(HashMap<&'s ObjectName, HashSet<&'s HostPattern>>);

impl<'s> Granted<'s> {
    /// The hosts that are left for this copy; they are taken by it if it is `usable`.
    fn rest(&mut self, used: &'s SecretUse, usable: bool) -> Vec<HostPattern> {
        let taken = self.0.entry(&used.secret).or_default();
        let rest: Vec<&HostPattern> = used.hosts.iter().filter(|host| !taken.contains(host)).collect();
        if usable {
            taken.extend(&rest);
        }
        rest.into_iter().cloned().collect()
    }
}

fn find<'v>(view: &'v SecretsView, cluster: &ClusterId, name: &ObjectName) -> Option<&'v Arc<Secret>> {
    view.get(&(cluster.clone(), Key::secret(name.clone())))
}

/// The default certificate's Secret, in every cluster that it may be taken from: home first.
pub(super) fn default_secrets(snapshot: &Snapshot) -> Vec<(ClusterId, ObjectName)> {
    let Some(DefaultCertificate::Secret(name)) = &snapshot.config.tls.default else { return Vec::new() };
    let mut on: Vec<_> = snapshot.clusters.iter().enumerate().filter(|(_, cluster)| cluster.state != ClusterState::Off).collect();
    on.sort_by_key(|(index, _)| *index != snapshot.home);
    on.into_iter().map(|(_, cluster)| (cluster.id.clone(), name.clone())).collect()
}

fn offer(source: String, rank: usize, (hosts, except): (Allowed, Vec<HostPattern>), certificate: Made) -> Offer {
    Offer { source, rank: rank as u32, hosts, except, certificate }
}

fn allowed(hosts: Vec<HostPattern>) -> Allowed {
    if hosts.contains(&HostPattern::Any) { Allowed::Any } else { Allowed::Hosts(hosts) }
}

fn secret_source(cluster: &ClusterId, name: &ObjectName) -> String {
    format!("Secret {cluster}:{name}")
}

fn file_source(file: &CertFile) -> String {
    file.cert.display().to_string()
}

fn not_found(cluster: &ClusterId, name: &ObjectName) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        cluster: Some(cluster.clone()),
        object: format!("Secret {name}"),
        field: String::new(),
        problem: "it is named as a certificate, and no cluster has it".into(),
        remedy: "create it with `kubectl create secret tls`, or correct the name".into(),
    }
}

fn diagnostic(problem: Problem) -> Diagnostic {
    let severity = match problem.severity {
        causeway_certs::Severity::Error => Severity::Error,
        causeway_certs::Severity::Warning => Severity::Warning,
    };
    Diagnostic {
        severity,
        cluster: None,
        object: problem.source,
        field: String::new(),
        problem: problem.problem,
        remedy: problem.remedy,
    }
}

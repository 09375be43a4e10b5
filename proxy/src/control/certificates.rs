//! Secrets and files to the certificate index.
//!
//! Where several have a host: files that the configuration names come first, then Secrets in the order that `compile` gives
//! (docs/certificates.md). A Secret is parsed once for as long as it does not change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use causeway_certs::{
    Allowed, CertCell, CertError, CertIndex, CertPublisher, Certificate, DefaultOffer, Offer, Problem, ServerTls,
};
use causeway_config::{CertFile, ClusterId, Config, DefaultCertificate, HostPattern, ObjectName};
use causeway_core::snapshot::SecretUse;
use causeway_core::{Diagnostic, Severity, Snapshot};
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
    /// Until when missing Secrets may still be on their way.
    arriving_until: Option<i64>,
    diagnostics: Vec<Diagnostic>,
}

struct Inputs {
    config: Arc<Config>,
    uses: Arc<[SecretUse]>,
    view: SecretsView,
}

impl Certificates {
    /// With a self-signed default only.
    pub(super) fn new(now: i64) -> Result<(Self, CertCell), CertError> {
        let tls = ServerTls::new(causeway_certs::process_tickets()?);
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
            arriving_until: None,
            diagnostics: Vec::new(),
        };
        Ok((certificates, cell))
    }

    /// What is wrong with them now.
    pub(super) fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Other Secrets were asked for: they may take a moment to arrive.
    pub(super) fn asked(&mut self, now: i64) {
        self.arriving_until = Some(now + ARRIVAL);
    }

    /// Whether Secrets that were asked for may still be on their way; never longer than [`ARRIVAL`] after the last was.
    pub(super) fn arriving(&self) -> bool {
        self.arriving_until.is_some()
    }

    /// Whether time alone has changed what there is to serve or to say: something expired, became valid, or did not arrive.
    pub(super) fn due(&mut self, now: i64) -> bool {
        let late = self.arriving_until.take_if(|until| *until <= now).is_some();
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
        let mut missing = BTreeMap::new();
        let mut offers = Vec::new();
        for file in &config.tls.files {
            offers.push(offer(file_source(file), offers.len(), Allowed::Any, self.file(file)));
        }
        self.secrets.retain(|key, _| view.contains_key(key));
        for used in snapshot.secrets.iter() {
            match view.get(&(used.cluster.clone(), used.secret.clone())) {
                Some(secret) => {
                    let made = self.secret(&used.cluster, &used.secret, secret);
                    offers.push(offer(secret_source(&used.cluster, &used.secret), offers.len(), allowed(&used.hosts), made));
                }
                None if nowhere(view, &used.secret) => drop(missing.entry(&used.secret).or_insert(&used.cluster)),
                None => {}
            }
        }
        if missing.is_empty() && default_arrived(config, view) {
            self.arriving_until = None;
        }
        let (default, problem) = self.default(config, view);
        let (index, problems) = self.publisher.current().rebuild(offers, default, now);
        self.publisher.publish(index);
        let mut diagnostics: Vec<Diagnostic> = problems.into_iter().map(diagnostic).chain(problem).collect();
        if self.arriving_until.is_none() {
            diagnostics.extend(missing.into_iter().map(|(secret, cluster)| not_found(cluster, secret)));
        }
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

    fn default(&mut self, config: &Config, view: &SecretsView) -> (DefaultOffer, Option<Diagnostic>) {
        let (source, made) = match &config.tls.default {
            None => (SELF_SIGNED.into(), Ok(Arc::clone(&self.self_signed))),
            Some(DefaultCertificate::Files(file)) => (file_source(file), self.file(file)),
            Some(DefaultCertificate::Secret(name)) => {
                let first = config.clusters.iter().find_map(|c| Some((&c.id, view.get(&(c.id.clone(), name.clone()))?)));
                match first {
                    Some((cluster, secret)) => (secret_source(cluster, name), self.secret(cluster, name, secret)),
                    None => (format!("Secret {name}"), Err(CertError::NoPair { reason: "no cluster has this Secret".into() })),
                }
            }
        };
        match made {
            Ok(certificate) => (DefaultOffer { source, certificate }, None),
            Err(error) => {
                let own = DefaultOffer { source: SELF_SIGNED.into(), certificate: Arc::clone(&self.self_signed) };
                (own, Some(diagnostic(Problem::broken(&source, &error))))
            }
        }
    }
}

/// The default certificate's Secret, in every cluster that it may be taken from.
pub(super) fn default_secrets(config: &Config) -> Vec<(ClusterId, ObjectName)> {
    match &config.tls.default {
        Some(DefaultCertificate::Secret(name)) => config.clusters.iter().map(|c| (c.id.clone(), name.clone())).collect(),
        _ => Vec::new(),
    }
}

fn default_arrived(config: &Config, view: &SecretsView) -> bool {
    let asked = default_secrets(config);
    asked.is_empty() || asked.iter().any(|secret| view.contains_key(secret))
}

fn offer(source: String, rank: usize, hosts: Allowed, certificate: Made) -> Offer {
    Offer { source, rank: rank as u32, hosts, certificate }
}

fn allowed(hosts: &[HostPattern]) -> Allowed {
    if hosts.contains(&HostPattern::Any) { Allowed::Any } else { Allowed::Hosts(hosts.to_vec()) }
}

fn secret_source(cluster: &ClusterId, name: &ObjectName) -> String {
    format!("Secret {cluster}:{name}")
}

fn file_source(file: &CertFile) -> String {
    file.cert.display().to_string()
}

fn nowhere(view: &SecretsView, name: &ObjectName) -> bool {
    !view.keys().any(|(_, known)| known == name)
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

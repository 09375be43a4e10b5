//! A file's bytes -> a checked [`Config`], or everything that is wrong with them.
//!
//! ```text
//! bytes -> Tree (places) -> RawConfig (shapes) -> Config (meaning)
//! ```
//!
//! Each phase goes on after a fault as far as the fault allows: broken YAML hides the rest, a wrong type hides only its
//! own value. In the last phase a faulty value is left out of the result, which is then never handed out: the checks
//! after it see fewer values and report no consequences of the fault as faults of their own.

mod clusters;
mod ending;
mod geo;
mod hosts;
mod limits;
mod listen;
pub(crate) mod report;
mod tls;
mod values;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{ConfigErrors, Fault, FaultKind};
use crate::ids::is_lower_label;
use crate::model::{AccessLog, Config, Fleet, FleetTls, Responses, Sameness};
use crate::raw::{RawConfig, RawFleetTls};
use crate::revoked::CertificateId;
use crate::tree::build::{Built, build};
use crate::tree::{Kind, NodeId, Tree, de, shorten};
use report::Report;

/// The largest file that is read, in bytes: a thousand hosts with policies take a tenth of it, and a `ConfigMap` holds
/// no more (Kubernetes: 1 MiB).
pub const MAX_FILE_SIZE: usize = 1 << 20;

/// The default of `stateDir`: where the Filesystem Hierarchy Standard puts what a service must find again.
const STATE_DIR: &str = "/var/lib/causeway";

/// What comes of a valid file.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The configuration.
    pub config: Config,
    /// What is legal and worth a second look, in the order of the file.
    pub warnings: Vec<Fault>,
    /// Tells two configurations apart.
    pub hash: ConfigHash,
}

/// SHA-256 over the values of a configuration in their order; comments, layout, quotes and anchors do not change it.
/// Edges compare it to notice that one of them runs with another file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConfigHash([u8; 32]);

impl fmt::Display for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for ConfigHash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Reads and parses the file at `path`, at most [`MAX_FILE_SIZE`] of it.
pub fn load(path: &Path) -> Result<Parsed, ConfigErrors> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE_SIZE).expect("a small constant") + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    match read {
        Ok(_) => parse(&bytes, path),
        Err(e) => Err(ConfigErrors::whole(
            path,
            FaultKind::Unreadable,
            format!("this file cannot be read: {e}"),
            "check that it exists and that this process may read it",
        )),
    }
}

/// Parses `bytes`. `file` names them in errors, and relative paths in them start from its folder.
pub fn parse(bytes: &[u8], file: &Path) -> Result<Parsed, ConfigErrors> {
    let text = decode(bytes).map_err(|fault| ConfigErrors::one(file, fault))?;
    let Built { tree, duplicates } = build(text).map_err(|fault| ConfigErrors::one(file, fault))?;
    let report = Report::new(&tree);
    for (second, first) in duplicates {
        let (name, line) = (shorten(tree.text(second).unwrap_or_default()), tree.position(first).0);
        let message = format!("`{name}` stands here a second time; the first is in line {line}");
        report.fault(second, FaultKind::DuplicateKey, message, "keep one of the two");
    }
    let raw = de::read::<RawConfig>(&report);
    let base = file.parent().unwrap_or(Path::new(""));
    let config = raw.get().map(|raw| Check::new(&report, base, raw).config(raw));
    let (faults, omitted, warnings) = report.into_parts();
    match config {
        Some(config) if faults.is_empty() => Ok(Parsed { config, warnings, hash: hash(&tree) }),
        _ => Err(ConfigErrors::collected(file, faults, omitted)),
    }
}

/// Size and encoding.
fn decode(bytes: &[u8]) -> Result<&str, Fault> {
    if bytes.len() > MAX_FILE_SIZE {
        return Err(Fault::at(
            1,
            1,
            FaultKind::TooLarge,
            format!("this file is larger than {MAX_FILE_SIZE} bytes"),
            "check that it is the right file; known networks in great number belong into a geo database",
        ));
    }
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Err(Fault::at(1, 1, FaultKind::Encoding, "this file is UTF-16", "save it as UTF-8"));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        let before = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let line = narrow(before.matches('\n').count() + 1);
        let column = narrow(before.rsplit('\n').next().unwrap_or_default().chars().count() + 1);
        let byte = bytes[e.valid_up_to()];
        Fault::at(line, column, FaultKind::Encoding, format!("the byte 0x{byte:02x} here is not UTF-8"), "save the file as UTF-8")
    })
}

fn hash(tree: &Tree) -> ConfigHash {
    fn feed(tree: &Tree, id: NodeId, to: &mut Sha256) {
        // Each value begins with its shape and size, so that no two documents feed the same bytes.
        let head = |to: &mut Sha256, shape: u8, size: usize| {
            to.update([shape]);
            to.update((size as u64).to_be_bytes());
        };
        match &tree.node(id).kind {
            Kind::Scalar { .. } if tree.is_null(id) => head(to, b'0', 0),
            Kind::Scalar { text, .. } => {
                head(to, b's', text.len());
                to.update(text.as_bytes());
            }
            Kind::List(items) => {
                head(to, b'l', items.len());
                for item in items {
                    feed(tree, *item, to);
                }
            }
            Kind::Map(entries) => {
                head(to, b'm', entries.len());
                for (key, value) in entries {
                    feed(tree, *key, to);
                    feed(tree, *value, to);
                }
            }
        }
    }
    let mut sha = Sha256::new();
    feed(tree, Tree::ROOT, &mut sha);
    ConfigHash(sha.finalize().into())
}

/// The last phase: what all its parts need to know.
struct Check<'a> {
    report: &'a Report<'a>,
    /// Relative paths start here.
    base: &'a Path,
    /// The names under `clusters`, valid or not; `None` where `clusters` itself is faulty, so that nothing is unknown.
    names: Option<Vec<&'a str>>,
}

impl<'a> Check<'a> {
    fn new(report: &'a Report<'a>, base: &'a Path, raw: &'a RawConfig) -> Self {
        let clusters = raw.clusters.get().filter(|clusters| clusters.0.len() <= clusters::MAX_CLUSTERS);
        let names = clusters.map(|c| c.0.iter().filter_map(|(name, _)| name.get().map(String::as_str)).collect());
        Self { report, base, names }
    }

    fn config(&self, raw: &RawConfig) -> Config {
        let fleet = self.fleet(raw);
        let clusters = self.clusters(&raw.clusters);
        Config {
            listen: self.listen(&raw.listen, is_fleet_tls_given(raw)),
            geo: self.geo(&raw.geo),
            hosts: self.hosts(&raw.hosts, &clusters),
            strict_hosts: raw.strict_hosts.get().copied().unwrap_or(false),
            ingress_classes: self.ingress_classes(raw),
            sameness: self.sameness(raw),
            tls: self.tls(&raw.tls),
            limits: self.limits(&raw.limits),
            upstream: self.upstream(&raw.upstream),
            responses: raw
                .responses
                .get()
                .and_then(|r| r.served_by.get())
                .map_or_else(Responses::default, |served_by| Responses { served_by: *served_by }),
            access_log: AccessLog { enabled: raw.access_log.get().and_then(|l| l.enabled.get()).copied().unwrap_or(false) },
            drain: self.drain(&raw.drain),
            handover: self.handover(&raw.handover),
            state_dir: match raw.state_dir.get().map(String::as_str) {
                None => Some(STATE_DIR.into()),
                Some("off") => None,
                Some(_) => self.path(&raw.state_dir),
            },
            fleet,
            clusters,
        }
    }

    fn fleet(&self, raw: &RawConfig) -> Fleet {
        let fleet = raw.fleet.get();
        let name = fleet.and_then(|f| f.name.given()).map_or_else(
            || "causeway".to_owned(),
            |(at, name)| {
                if !is_lower_label(name) {
                    self.report.fault(
                        at,
                        FaultKind::BadValue,
                        format!("`{}` is not a fleet's name", shorten(name)),
                        "use 1 to 63 lower-case letters, digits and inner hyphens, such as `shop`",
                    );
                }
                name.clone()
            },
        );
        let tls = fleet.and_then(|f| f.tls.given()).and_then(|(at, RawFleetTls { ca, cert, key })| {
            let [ca, cert, key] = [("ca", ca), ("cert", cert), ("key", key)].map(|(name, file)| {
                self.need(at, name, file, "mutual TLS between edges takes `ca`, `cert` and `key`");
                self.path(file)
            });
            Some(FleetTls { ca: ca?, cert: cert?, key: key? })
        });
        let revoked = fleet.and_then(|f| self.list(&f.revoked, values::name::<CertificateId>)).unwrap_or_default();
        let secret = fleet.and_then(|f| self.path(&f.secret));
        let siblings = fleet.and_then(|f| self.list(&f.siblings, values::place)).unwrap_or_default();
        Fleet { name, tls, revoked, secret, siblings }
    }

    fn ingress_classes(&self, raw: &RawConfig) -> Vec<String> {
        let Some(classes) = self.list(&raw.ingress_classes, values::class_name) else { return vec!["causeway".to_owned()] };
        if classes.is_empty() && raw.ingress_classes.get().is_some_and(Vec::is_empty) {
            self.report.fault(
                raw.ingress_classes.node(),
                FaultKind::BadValue,
                "no ingress class is named, so no Ingress would be served",
                "name the classes to serve, or remove the field to serve `causeway`",
            );
        }
        classes
    }

    fn sameness(&self, raw: &RawConfig) -> Sameness {
        let Some(raw) = raw.sameness.get() else { return Sameness::default() };
        let include = self.list(&raw.include, values::namespace);
        let exclude = self.list(&raw.exclude, values::namespace).unwrap_or_default();
        for item in raw.include.get().into_iter().flatten() {
            let Some((at, name)) = item.given() else { continue };
            if name.starts_with("kube-") {
                self.report.fault(
                    at,
                    FaultKind::Conflict,
                    format!("`{name}` never means the same thing in two clusters"),
                    "remove it: namespaces that begin with `kube-` belong to their cluster",
                );
            }
            if exclude.contains(name) {
                self.report.fault(
                    at,
                    FaultKind::Conflict,
                    format!("`{name}` is included here and excluded in sameness.exclude"),
                    "keep one of the two",
                );
            }
        }
        Sameness { include, exclude }
    }
}

/// Right or wrong: faulty certificates are not missing ones.
fn is_fleet_tls_given(raw: &RawConfig) -> bool {
    match raw.fleet.get() {
        Some(fleet) => fleet.tls.is_given(),
        None => raw.fleet.is_given(),
    }
}

#[cfg(test)]
mod tests;

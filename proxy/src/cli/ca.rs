//! `causeway ca`: the fleet's own authority, and the certificates of its edges.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;
use causeway_certs::{PemPair, fleet_ca};
use causeway_config::ClusterId;
use clap::{Args, Subcommand};

/// Make the certificates by which edges of different clusters know each other.
///
/// `init` makes an authority, once for the fleet. Keep its key where no cluster is: whoever has it can be any edge. `issue` makes
/// the certificate of one cluster's edges, as PEM files or as the Secret that they mount. docs/peers.md walks through it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  causeway ca init --fleet shop --dir fleet-ca
  causeway ca issue --fleet shop --dir fleet-ca --cluster azure --manifest azure-fleet.yaml
  kubectl --context azure apply -f azure-fleet.yaml")]
pub(super) struct Ca {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an authority: ca.crt and ca.key.
    Init(Init),
    /// Issue the certificate of one cluster's edges.
    Issue(Issue),
}

#[derive(Debug, Args)]
struct Init {
    #[command(flatten)]
    at: At,
}

/// Which fleet, and where its authority lies.
#[derive(Debug, Args)]
struct At {
    /// The fleet's name, as `fleet.name` in the configuration.
    #[arg(long, default_value = "causeway", value_name = "NAME", value_parser = label)]
    fleet: String,
    /// The folder of the authority.
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct Issue {
    #[command(flatten)]
    at: At,
    /// The cluster, by its name in the configuration.
    #[arg(long, value_name = "CLUSTER")]
    cluster: ClusterId,
    /// How long it is valid.
    #[arg(long, default_value_t = fleet_ca::EDGE_DAYS, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Another authority that the edges are to trust besides, while one replaces the other: a PEM file.
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// Write a Secret of Kubernetes here, with ca.crt, tls.crt and tls.key; `-` is standard output. Without it the pair goes to
    /// CLUSTER.crt and CLUSTER.key in the folder.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The namespace of that Secret.
    #[arg(long, default_value = "causeway", value_name = "NAMESPACE", requires = "manifest")]
    namespace: String,
    /// The name of that Secret.
    #[arg(long, default_value = "causeway-fleet", value_name = "NAME", requires = "manifest")]
    name: String,
}

impl Ca {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs().cast_signed();
        match self.command {
            Command::Init(init) => init.run(now)?,
            Command::Issue(issue) => issue.run(now)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Init {
    fn run(self, now: i64) -> anyhow::Result<()> {
        let At { fleet, dir } = self.at;
        let pair = fleet_ca::authority(&fleet, now)?;
        std::fs::create_dir_all(&dir).with_context(|| format!("making the folder {}", dir.display()))?;
        write_pair(&dir, "ca", &pair)?;
        eprintln!("wrote ca.crt and ca.key to {}; keep the key where no cluster is", dir.display());
        Ok(())
    }
}

impl Issue {
    fn run(self, now: i64) -> anyhow::Result<()> {
        let At { fleet, dir } = &self.at;
        let authority = read_pair(dir)?;
        let pair = fleet_ca::issue(&authority, fleet, &self.cluster, now, self.days)
            .with_context(|| format!("issuing with the authority in {}", dir.display()))?;
        let Some(path) = &self.manifest else {
            write_pair(dir, self.cluster.as_str(), &pair)?;
            eprintln!("wrote {0}.crt and {0}.key to {1}", self.cluster, dir.display());
            return Ok(());
        };
        let mut trusted = authority.cert.clone();
        for file in &self.trust {
            trusted.extend(std::fs::read(file).with_context(|| format!("reading {}", file.display()))?);
        }
        let text = self.secret(&trusted, &pair);
        if path.as_os_str() == "-" {
            print!("{text}");
        } else {
            write_new(path, text.as_bytes(), 0o600)?;
            eprintln!("wrote {}; apply it in {}, and keep it nowhere else", path.display(), self.cluster);
        }
        Ok(())
    }

    fn secret(&self, trusted: &[u8], pair: &PemPair) -> String {
        let block = |pem: &[u8]| String::from_utf8_lossy(pem).trim_end().replace('\n', "\n    ");
        let head = format!("apiVersion: v1\nkind: Secret\nmetadata:\n  namespace: {}\n  name: {}\n", self.namespace, self.name);
        let entry = |name: &str, pem: &[u8]| format!("  {name}: |\n    {}\n", block(pem));
        let entries = [entry("ca.crt", trusted), entry("tls.crt", &pair.cert), entry("tls.key", &pair.key)];
        format!("{head}type: Opaque\nstringData:\n{}", entries.concat())
    }
}

/// A DNS label, as the configuration wants the fleet's name.
fn label(text: &str) -> Result<String, String> {
    let parsed: Result<ClusterId, _> = text.parse();
    parsed.map(|_| text.to_owned()).map_err(|_| "use 1 to 63 lower-case letters, digits and inner hyphens, such as `shop`".into())
}

fn read_pair(dir: &Path) -> anyhow::Result<PemPair> {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read(&path).with_context(|| {
            format!("reading {}; `causeway ca init` makes an authority, and --dir says where it is", path.display())
        })
    };
    Ok(PemPair { cert: read("ca.crt")?, key: read("ca.key")?.into() })
}

/// Writes both halves, or neither: the certificate first, which harms nobody when it stays alone.
fn write_pair(dir: &Path, name: &str, pair: &PemPair) -> anyhow::Result<()> {
    let key = dir.join(format!("{name}.key"));
    anyhow::ensure!(!key.exists(), "{} is there already, and is not overwritten", key.display());
    write_new(&dir.join(format!("{name}.crt")), &pair.cert, 0o644)?;
    write_new(&key, &pair.key, 0o600)
}

/// Nothing is overwritten: what stood there may be what the fleet runs on.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow::anyhow!("{} is there already, and is not overwritten", path.display()),
        _ => anyhow::Error::new(error).context(format!("writing {}", path.display())),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use causeway_config::{Fleet, FleetTls};
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        ca: Ca,
    }

    fn run(line: &str, dir: &Path) -> anyhow::Result<ExitCode> {
        let dir = dir.to_str().unwrap().to_owned();
        let words = line.split_whitespace().map(str::to_owned).chain(["--dir".to_owned(), dir]);
        Line::try_parse_from(std::iter::once("ca".to_owned()).chain(words))?.ca.run()
    }

    #[test]
    fn what_is_written_is_what_edges_read() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        run("init --fleet shop", dir).unwrap();
        run("issue --fleet shop --cluster azure", dir).unwrap();
        let file = |name: &str| dir.join(name);
        let tls = FleetTls { ca: file("ca.crt"), cert: file("azure.crt"), key: file("azure.key") };
        let fleet = Fleet { name: "shop".into(), tls: Some(tls), revoked: Vec::new(), secret: None, siblings: Vec::new() };
        let trust = causeway_certs::files::load_fleet(&fleet).unwrap().unwrap();
        assert_eq!(trust.faults(&"azure".parse().unwrap(), crate::peer::trust::unix_time()), None);
        for key in ["ca.key", "azure.key"] {
            assert_eq!(std::fs::metadata(file(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        run("init", folder.path()).unwrap();
        let before = std::fs::read(folder.path().join("ca.key")).unwrap();
        assert!(run("init", folder.path()).unwrap_err().to_string().contains("not overwritten"));
        assert_eq!(std::fs::read(folder.path().join("ca.key")).unwrap(), before);
    }

    #[test]
    fn a_secret_holds_all_three_and_what_else_is_to_be_trusted() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run("init", old.path()).unwrap();
        run("init", new.path()).unwrap();
        let out = new.path().join("azure.yaml");
        let line = format!("issue --cluster azure --trust {}/ca.crt --manifest {}", old.path().display(), out.display());
        run(&line, new.path()).unwrap();
        let text = std::fs::read_to_string(&out).unwrap();
        let begins = text.matches("-----BEGIN CERTIFICATE-----").count();
        assert_eq!(begins, 3, "two authorities and one edge: {text}");
        for part in ["kind: Secret", "  namespace: causeway\n  name: causeway-fleet\n", "  ca.crt: |\n", "  tls.key: |\n"] {
            assert!(text.contains(part), "{part}");
        }
    }

    #[test]
    fn without_an_authority_it_is_said_where_one_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let error = format!("{:#}", run("issue --cluster azure", folder.path()).unwrap_err());
        assert!(error.contains("causeway ca init"), "{error}");
    }
}

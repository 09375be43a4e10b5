//! How an API server is reached: from a kubeconfig file or a pod's service account to a client.
//!
//! Files are read again whenever a client is made, and [`Access::fingerprint`] tells when one must be made anew: kubeconfig,
//! authorities, certificates and keys. Token files are kube's own to re-read, once a minute, and at once after a 401, which
//! makes a new client; but for those that end in a newline, as editors and `echo` write them, which kube does not take.

use std::fmt;
use std::path::{Path, PathBuf};

use kube::client::{AuthError, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use sha2::{Digest, Sha256};

use super::Patience;
use super::evidence::{Evidence, EvidenceLayer};

/// Where Kubernetes puts a pod's authority and token.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The credentials for one API server, by where they lie.
#[derive(Clone, PartialEq, Eq)]
pub enum Access {
    /// The service account of the pod that this process runs in.
    InCluster,
    /// A kubeconfig file.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The context in it; `None`: its current one.
        context: Option<String>,
    },
    /// The text of a kubeconfig.
    Text(String),
}

/// Where an API server is.
pub(super) struct Target {
    pub(super) server: String,
    pub(super) tls_server_name: Option<String>,
}

/// Why no client could be made. Every text ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Not in a pod, or in one without a service account.
    #[error(
        "there is no service account here: {0}; run in a pod whose `automountServiceAccountToken` is not false, \
         or give this cluster a `kubeconfig`"
    )]
    NoServiceAccount(String),
    /// The kubeconfig file cannot be used.
    #[error("the kubeconfig {}: {problem}; {remedy}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// The program that the kubeconfig asks for a token is not there, or fails.
    #[error(
        "the kubeconfig asks the program `{program}` for a token, and {problem}; give a kubeconfig with a ServiceAccount's \
         token, which `causeway kubeconfig` writes, or add the program to the image"
    )]
    ExecPlugin {
        /// The program.
        program: String,
        /// What happened.
        problem: String,
    },
    /// What the credentials say cannot be used.
    #[error("no client can be made: {0}; correct the kubeconfig")]
    Client(String),
}

impl Access {
    /// Reads the credentials and makes a client whose every response is reported to `evidence`. Blocks on files, and on the
    /// plugin that a kubeconfig may name.
    pub async fn client(&self, evidence: &Evidence, patience: &Patience) -> Result<Client, AccessError> {
        let (mut config, program) = self.config().await?;
        // The watches have a backoff of their own, and must know of every fault.
        config.default_retry = false;
        config.connect_timeout = Some(patience.connect);
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(super::USER_AGENT)));
        let layer = EvidenceLayer::new(evidence.clone(), *patience);
        let made = tokio::task::spawn_blocking(move || ClientBuilder::try_from(config)).await;
        let builder = made.map_err(|failed| AccessError::Client(failed.to_string()))?;
        builder.map(|builder| builder.with_layer(&layer).build()).map_err(|error| refused(program, &error))
    }

    /// Where the API server is, as the credentials say.
    pub(super) async fn target(&self) -> Result<Target, AccessError> {
        let (config, _) = self.config().await?;
        Ok(Target { server: config.cluster_url.to_string(), tls_server_name: config.tls_server_name })
    }

    /// A digest of the files that a client is made of; it changes when a client must be made anew.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for path in self.files() {
            digest.update(path.as_os_str().as_encoded_bytes());
            // A file that cannot be read is a content of its own.
            match std::fs::read(&path) {
                Ok(bytes) => digest.update(Sha256::digest(bytes)),
                Err(error) => digest.update(error.kind().to_string()),
            }
        }
        digest.finalize().into()
    }

    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::InCluster => vec![Path::new(SERVICE_ACCOUNT).join("ca.crt")],
            Self::Text(_) => Vec::new(),
            Self::Kubeconfig { path, .. } => {
                let kubeconfig = Kubeconfig::read_from(path).unwrap_or_default();
                let authorities = kubeconfig.clusters.into_iter().filter_map(|named| named.cluster?.certificate_authority);
                let identities = kubeconfig.auth_infos.into_iter().filter_map(|named| named.auth_info);
                let identities = identities.flat_map(|user| {
                    let token = user.token_file.filter(|file| trimmed_token(file).is_some());
                    [user.client_certificate, user.client_key, token]
                });
                let named = authorities.chain(identities.flatten()).map(PathBuf::from);
                std::iter::once(path.clone()).chain(named).collect()
            }
        }
    }

    /// What kube needs to know, and the program that will be asked for a token.
    async fn config(&self) -> Result<(Config, Option<String>), AccessError> {
        let (path, context, kubeconfig) = match self {
            Self::InCluster => {
                return Config::incluster()
                    .map(|config| (config, None))
                    .map_err(|error| AccessError::NoServiceAccount(error.to_string()));
            }
            Self::Kubeconfig { path, context } => (path.as_path(), context.clone(), Kubeconfig::read_from(path)),
            Self::Text(text) => (Path::new("in memory"), None, Kubeconfig::from_yaml(text)),
        };
        let fault = |error: KubeconfigError| unusable(path, &error);
        let kubeconfig = kubeconfig.map_err(fault)?;
        let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await.map_err(fault)?;
        if from_environment(&kubeconfig, &config) && exempt(&config, |name| std::env::var(name).ok()) {
            config.proxy_url = None;
        }
        if let Some(token) = config.auth_info.token_file.as_deref().and_then(trimmed_token) {
            config.auth_info.token_file = None;
            config.auth_info.token = Some(token.into());
        }
        let program = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
        Ok((config, program))
    }
}

impl fmt::Debug for Access {
    /// Without what a text holds, since that is a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InCluster => f.write_str("InCluster"),
            Self::Kubeconfig { path, context } => {
                f.debug_struct("Kubeconfig").field("path", path).field("context", context).finish()
            }
            Self::Text(_) => f.write_str("Text([redacted])"),
        }
    }
}

/// The token in a file that has white space around it.
fn trimmed_token(file: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let token = text.trim();
    (token.len() < text.len()).then(|| token.to_owned())
}

/// Whether the proxy is the environment's and not the kubeconfig's.
fn from_environment(kubeconfig: &Kubeconfig, config: &Config) -> bool {
    let named = kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref()?.proxy_url.as_deref());
    let named: Vec<_> = named.filter_map(|url| url.parse::<http::Uri>().ok()).collect();
    config.proxy_url.as_ref().is_some_and(|proxy| !named.contains(proxy))
}

/// Whether `NO_PROXY` exempts the API server: a list of `*`, host names, and domains that stand for all names below them.
fn exempt(config: &Config, variable: impl Fn(&str) -> Option<String>) -> bool {
    let Some(list) = variable("NO_PROXY").or_else(|| variable("no_proxy")) else { return false };
    let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        let domain = entry.trim_start_matches('.');
        entry == "*" || host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    })
}

fn unusable(path: &Path, error: &KubeconfigError) -> AccessError {
    let remedy = match error {
        KubeconfigError::ReadConfig(..) => "write it there, or correct `kubeconfig` of this cluster; it is looked for again",
        KubeconfigError::CurrentContextNotSet => "set `current-context` in it, or `context` of this cluster",
        KubeconfigError::LoadContext(_) => "set `context` of this cluster to one that the file has",
        KubeconfigError::LoadClusterOfContext(_) => "correct the context's `cluster`",
        KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => "write the API server's URL in `server`",
        KubeconfigError::ParseProxyUrl(_) => "write `proxy-url`, or HTTPS_PROXY, as `http://HOST:PORT`",
        KubeconfigError::LoadCertificateAuthority(_) | KubeconfigError::ParseCertificates(_) => {
            "correct `certificate-authority` or `certificate-authority-data`: PEM, the latter in base64"
        }
        KubeconfigError::LoadClientCertificate(_) => "correct `client-certificate` or `client-certificate-data`",
        KubeconfigError::LoadClientKey(_) => "correct `client-key` or `client-key-data`",
        _ => "correct the file; `kubectl --kubeconfig FILE version` must work with it",
    };
    // The parser would quote what it stumbled over, which may be a token.
    let problem = match error {
        KubeconfigError::Parse(error) => error.location().map_or_else(
            || "it is not what a kubeconfig is".into(),
            |at| format!("it is not what a kubeconfig is, at line {}, column {}", at.line(), at.column()),
        ),
        error => error.to_string(),
    };
    AccessError::Kubeconfig { path: path.to_owned(), problem, remedy: remedy.into() }
}

fn refused(program: Option<String>, error: &kube::Error) -> AccessError {
    let kube::Error::Auth(auth) = error else { return AccessError::Client(super::fault::chain(error)) };
    match (program, auth) {
        (Some(program), AuthError::AuthExecStart(cause)) if cause.kind() == std::io::ErrorKind::NotFound => {
            AccessError::ExecPlugin { program, problem: "there is no such program here".into() }
        }
        (Some(program), AuthError::AuthExecRun { status, out, .. }) => {
            let said = String::from_utf8_lossy(&out.stderr);
            let said = crate::report::shown(said.trim());
            AccessError::ExecPlugin { program, problem: format!("it ended with {status}: {said}") }
        }
        // As with kubeconfigs: what it wrote is, or is close to, a token.
        (Some(program), AuthError::AuthExecParse(_)) => {
            AccessError::ExecPlugin { program, problem: "what it writes is no ExecCredential".into() }
        }
        (Some(program), auth) => AccessError::ExecPlugin { program, problem: format!("it cannot be used: {auth}") },
        (None, auth) => AccessError::Client(auth.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use causeway_core::time::Nanos;

    use super::*;

    async fn error(text: &str) -> String {
        let evidence = Evidence::new(Arc::new(|| Nanos(1)));
        let made = Access::Text(text.into()).client(&evidence, &Patience::default()).await;
        made.err().unwrap().to_string()
    }

    #[test]
    fn no_proxy_names_hosts_and_domains() {
        let config = |url: &str| Config::new(url.parse().unwrap());
        for (url, list, expected) in [
            ("https://api.example.com:6443", "example.com", true),
            ("https://api.example.com:6443", ".example.com", true),
            ("https://api.example.com:6443", "other.org, API.Example.com", true),
            ("https://api.example.com:6443", "ample.com", false),
            ("https://api.example.com:6443", "", false),
            ("https://api.example.com:6443", "*", true),
            ("https://192.0.2.1", "192.0.2.1", true),
            ("https://192.0.2.10", "192.0.2.1", false),
            ("https://[2001:db8::1]:6443", "2001:db8::1", true),
        ] {
            assert_eq!(exempt(&config(url), |name| (name == "no_proxy").then(|| list.into())), expected, "{url} {list}");
        }
        assert!(!exempt(&config("https://a.example"), |_| None));
    }

    #[tokio::test]
    async fn no_message_quotes_a_token() {
        let good = "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n\
                    contexts: [{name: c, context: {cluster: c, user: c}}]\nusers:\n- name: c\n";
        for users in [
            "  user: {token: s3cret",
            "  user:\n    token: s3cret\n   bad: indentation\n",
            "  user: s3cret\n",
            "  user: {token: {s3cret: s3cret}}\n",
        ] {
            let text = error(&format!("{good}{users}")).await;
            assert!(text.contains("line") && !text.contains("s3cret"), "{text}");
        }
        let plugin = "  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, 'echo \"{status: [s3cret\"'], \
                      interactiveMode: Never}}\n";
        let text = error(&format!("{good}{plugin}")).await;
        assert!(text.contains("no ExecCredential") && !text.contains("s3cret"), "{text}");
    }
}

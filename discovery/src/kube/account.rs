//! The account by which edges of other clusters read a cluster: what it may do, and a kubeconfig that holds its token.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::access::{Access, AccessError};
use super::evidence::Evidence;
use super::fault::chain;
use super::{Patience, rbac};

/// A `ServiceAccount`, and what it may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Where it lives.
    pub namespace: String,
    /// Its name; the Secret that holds its token is called that and `-token`.
    pub name: String,
    /// The namespaces that it may read, by Roles; `None`: all, by a `ClusterRole`.
    pub namespaces: Option<Vec<String>>,
}

/// Why there is no kubeconfig. Every text ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The cluster cannot be reached with the operator's own kubeconfig.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// There is no account yet.
    #[error(
        "there is no Secret {0} in that cluster; create the account: `causeway kubeconfig --print-rbac | kubectl apply -f -`, \
         or apply deploy/kubernetes"
    )]
    NoSecret(String),
    /// The cluster's controller has not filled the Secret in.
    #[error(
        "the Secret {0} has no token; see that it is of type kubernetes.io/service-account-token and its ServiceAccount exists"
    )]
    NoToken(String),
    /// The Secret cannot be read, or the token does not work.
    #[error("{doing}: {cause}; {remedy}")]
    Refused {
        /// What was tried.
        doing: String,
        /// In the server's words.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// How often the Secret is looked at while its token is awaited, and how long apart.
const LOOKS: (u32, Duration) = (20, Duration::from_millis(250));

impl Account {
    /// The Secret with its token.
    pub fn secret(&self) -> String {
        format!("{}-token", self.name)
    }

    /// What `kubectl apply` is to create: the account, a Secret for its token, and the roles with their bindings.
    ///
    /// The token is one that does not expire: the edges that hold it are in other clusters, and nobody there could renew it.
    /// Delete the Secret to end it.
    pub fn objects(&self) -> Vec<Value> {
        let metadata = |name: &str| json!({"namespace": self.namespace, "name": name});
        let mut secret = metadata(&self.secret());
        secret["annotations"] = json!({"kubernetes.io/service-account.name": self.name});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(&self.name)});
        let token =
            json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": secret});
        let mut objects = vec![account, token];
        for (role, rules) in rbac::roles() {
            match &self.namespaces {
                None => {
                    let name = json!({"name": role});
                    objects
                        .push(json!({"apiVersion": rbac::API_VERSION, "kind": "ClusterRole", "metadata": name, "rules": rules}));
                    let name = json!({"name": format!("{role}:{}:{}", self.namespace, self.name)});
                    objects.push(self.binding("ClusterRoleBinding", &name, "ClusterRole", role));
                }
                Some(namespaces) => {
                    for namespace in namespaces {
                        let name = json!({"namespace": namespace, "name": role});
                        let rules = rbac::namespaced(&rules);
                        if rules.is_empty() {
                            continue;
                        }
                        objects.push(json!({"apiVersion": rbac::API_VERSION, "kind": "Role", "metadata": name, "rules": rules}));
                        objects.push(self.binding("RoleBinding", &name, "Role", role));
                    }
                }
            }
        }
        objects
    }

    /// The objects as YAML documents.
    pub fn manifest(&self) -> String {
        let documents = self.objects().into_iter().map(|object| serde_yaml::to_string(&object).expect("keys are texts"));
        documents.collect::<Vec<_>>().join("---\n")
    }

    fn binding(&self, kind: &str, metadata: &Value, role_kind: &str, role: &str) -> Value {
        json!({
            "apiVersion": rbac::API_VERSION, "kind": kind, "metadata": metadata,
            "roleRef": {"apiGroup": rbac::API_GROUP, "kind": role_kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}],
        })
    }

    /// A kubeconfig for edges elsewhere, for the cluster that `operator` leads to, by the name `cluster`. It is tried before it
    /// is given out. `server` is the URL by which edges reach the API server, where that is another than the operator's.
    pub async fn kubeconfig(&self, operator: &Access, cluster: &str, server: Option<&str>) -> Result<String, AccountError> {
        let client = operator.client(&Evidence::unheard(), &Patience::default()).await?;
        let (token, authority) = self.token(&client).await?;
        let target = operator.target().await?;
        let server = server.unwrap_or(&target.server);
        let text = written(cluster, server, target.tls_server_name.as_deref(), &authority, &token);
        let tried = Access::Text(text.clone()).client(&Evidence::unheard(), &Patience::default()).await?;
        tried.apiserver_version().await.map_err(|error| AccountError::Refused {
            doing: format!("the token does not work at {server}"),
            cause: chain(&error),
            remedy: "give the URL by which the API server is reached from the other clusters: --server",
        })?;
        Ok(text)
    }

    async fn token(&self, client: &Client) -> Result<(String, Vec<u8>), AccountError> {
        let api = Api::<Secret>::namespaced(client.clone(), &self.namespace);
        let full_name = format!("{}/{}", self.namespace, self.secret());
        let (looks, apart) = LOOKS;
        for look in 0..looks {
            if look > 0 {
                tokio::time::sleep(apart).await;
            }
            let secret = api.get_opt(&self.secret()).await.map_err(|error| AccountError::Refused {
                doing: format!("the Secret {full_name} cannot be read"),
                cause: chain(&error),
                remedy: "use a kubeconfig that may read it: --kubeconfig and --context",
            })?;
            let mut data = secret.ok_or_else(|| AccountError::NoSecret(full_name.clone()))?.data.unwrap_or_default();
            if let (Some(token), Some(authority)) = (data.remove("token"), data.remove("ca.crt"))
                && let Ok(token) = String::from_utf8(token.0)
            {
                return Ok((token, authority.0));
            }
        }
        Err(AccountError::NoToken(full_name))
    }
}

/// A kubeconfig of one context.
fn written(cluster: &str, server: &str, tls_server_name: Option<&str>, authority: &[u8], token: &str) -> String {
    let authority = serde_json::to_value(k8s_openapi::ByteString(authority.to_vec())).expect("bytes are base64 text");
    let mut about = json!({"server": server, "certificate-authority-data": authority});
    if let Some(name) = tls_server_name {
        about["tls-server-name"] = name.into();
    }
    let user = format!("causeway@{cluster}");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": cluster,
        "clusters": [{"name": cluster, "cluster": about}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "users": [{"name": user, "user": {"token": token}}],
    });
    // JSON is YAML, and every program that reads kubeconfigs takes it.
    format!("{kubeconfig:#}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn account(namespaces: Option<&[&str]>) -> Account {
        let namespaces = namespaces.map(|names| names.iter().map(ToString::to_string).collect());
        Account { namespace: "causeway".into(), name: "causeway-remote".into(), namespaces }
    }

    fn kinds(objects: &[Value]) -> Vec<&str> {
        objects.iter().map(|object| object["kind"].as_str().unwrap()).collect()
    }

    #[test]
    fn an_account_for_the_whole_cluster_has_cluster_roles() {
        let objects = account(None).objects();
        let roles = ["ClusterRole", "ClusterRoleBinding"].repeat(3);
        assert_eq!(kinds(&objects), [&["ServiceAccount", "Secret"], &roles[..]].concat());
        assert!(
            objects.iter().filter(|object| object["kind"] == "ClusterRole").all(|role| role["metadata"]["namespace"].is_null())
        );
    }

    #[test]
    fn an_account_for_namespaces_has_no_rule_beyond_them() {
        let objects = account(Some(&["shop", "bank"])).objects();
        assert_eq!(objects.len(), 2 + 2 * 2 * 2);
        assert!(!kinds(&objects).iter().any(|kind| kind.starts_with("Cluster")));
        let text = serde_json::to_string(&objects).unwrap();
        assert!(!text.contains("ingressclasses") && !text.contains("\"namespaces\""), "a Role cannot grant them");
    }

    #[test]
    fn what_is_written_is_what_kube_reads() {
        let text = written("azure", "https://azure.example.com:6443", Some("kubernetes"), b"PEM", "t0ken");
        let read = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("azure"));
        let cluster = read.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("UEVN"));
        assert_eq!(cluster.tls_server_name.as_deref(), Some("kubernetes"));
    }
}

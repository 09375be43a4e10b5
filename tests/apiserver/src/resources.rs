//! The kinds that the server knows: typed by nothing but their paths.

/// A kind of object, by the place of its paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// The API group; empty for the core.
    pub group: String,
    /// Its version.
    pub version: String,
    /// Its name in paths: `services`.
    pub plural: String,
    /// `kind`
    pub kind: String,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// A kind.
    pub fn new(group: &str, version: &str, plural: &str, kind: &str, namespaced: bool) -> Self {
        Self { group: group.into(), version: version.into(), plural: plural.into(), kind: kind.into(), namespaced }
    }

    /// `networking.k8s.io/v1`, `v1`
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// What a server has from the start.
pub(crate) fn built_in() -> Vec<Resource> {
    let table: [(&str, &str, &str, &str, bool); 20] = [
        ("", "v1", "namespaces", "Namespace", false),
        ("", "v1", "services", "Service", true),
        ("", "v1", "secrets", "Secret", true),
        ("", "v1", "configmaps", "ConfigMap", true),
        ("", "v1", "serviceaccounts", "ServiceAccount", true),
        ("", "v1", "nodes", "Node", false),
        ("", "v1", "pods", "Pod", true),
        ("", "v1", "events", "Event", true),
        ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true),
        ("networking.k8s.io", "v1", "ingresses", "Ingress", true),
        ("networking.k8s.io", "v1", "ingressclasses", "IngressClass", false),
        ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false),
        ("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", false),
        ("rbac.authorization.k8s.io", "v1", "roles", "Role", true),
        ("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true),
        ("coordination.k8s.io", "v1", "leases", "Lease", true),
        ("apps", "v1", "deployments", "Deployment", true),
        ("apps", "v1", "daemonsets", "DaemonSet", true),
        ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true),
        ("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", true),
    ];
    table
        .iter()
        .map(|(group, version, plural, kind, namespaced)| Resource::new(group, version, plural, kind, *namespaced))
        .collect()
}

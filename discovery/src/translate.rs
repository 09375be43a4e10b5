//! Kubernetes' types to ours: the border at which foreign types stop.
//!
//! One module a kind, one pure function each: the object goes in whole and is dropped, our value and everything that was
//! wrong with it comes out. `Err` is an object without a usable name, of which nothing can be said but that.

mod backend;
mod class;
mod config_map;
mod ingress;
mod namespace;
mod node;
mod protocol;
mod secret;
mod service;
mod slice;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use causeway_config::{CaRef, ClusterId, ObjectName, Scope};
use causeway_core::cluster::{Endpoint, Ingress, IngressClass, Namespace, Node, Service};
use causeway_core::diagnostics::Diagnostic;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

pub use class::ingress_class;
pub use config_map::config_map;
pub use ingress::ingress;
pub use namespace::namespace;
pub use node::node;
pub use secret::secret;
pub use service::service;
pub use slice::endpoint_slice;

use crate::report::{Report, shown};
use crate::secret::Secret;

/// The annotation that says how far a Service, an Ingress or a whole namespace reaches.
const SCOPE: &str = "causeway.dev/scope";

/// An object in our words, and what was wrong with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Translated {
    /// Which object it is.
    pub key: Key,
    /// What it says.
    pub object: Object,
    /// What of it was left out or doubtful.
    pub diagnostics: Vec<Diagnostic>,
}

/// Which object: displayed as `Ingress shop/web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its name; the namespace of a cluster-wide kind is empty.
    pub name: ObjectName,
}

/// A kind of object that Causeway reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// `core/v1`
    Service,
    /// `discovery.k8s.io/v1`
    EndpointSlice,
    /// `networking.k8s.io/v1`
    Ingress,
    /// `networking.k8s.io/v1`, cluster-wide
    IngressClass,
    /// `core/v1`, cluster-wide
    Namespace,
    /// `core/v1`
    Secret,
    /// `core/v1`, cluster-wide; read only where a cluster's edges are found at its nodes
    Node,
    /// `core/v1`; read by name only, where one is named
    ConfigMap,
}

/// The contents of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Object {
    /// A Service, and the address family that it lists first.
    Service(Arc<Service>, Family),
    /// Endpoints of a Service.
    EndpointSlice(Arc<Slice>),
    /// An Ingress.
    Ingress(Arc<Ingress>),
    /// An ingress class.
    IngressClass(IngressClass),
    /// A namespace.
    Namespace(Namespace),
    /// A Secret, or what a `ConfigMap` holds in its place; never written anywhere.
    #[serde(skip)]
    Secret(Arc<Secret>),
    /// A node.
    Node(Node),
}

/// An address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// `IPv4`, and what a Service without `ipFamilies` is taken for.
    #[default]
    V4,
    /// `IPv6`
    V6,
}

/// An `EndpointSlice`: a part of a Service's endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The Service that it belongs to; `None` where its label names none, and then its endpoints serve nobody.
    pub service: Option<ObjectName>,
    /// Every endpoint once for each of the slice's ports, in the order of [`Endpoint::place`].
    pub endpoints: Arc<Vec<Endpoint>>,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Service,
        Self::EndpointSlice,
        Self::Ingress,
        Self::IngressClass,
        Self::Namespace,
        Self::Secret,
        Self::Node,
        Self::ConfigMap,
    ];

    /// Whether all its objects are followed. Others are asked for one by one, by name.
    pub fn watched(self) -> bool {
        self != Self::ConfigMap
    }

    /// Whether its objects hold certificates, and are kept only while somebody wants them.
    pub fn on_demand(self) -> bool {
        matches!(self, Self::Secret | Self::ConfigMap)
    }

    /// `kind`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Ingress => "Ingress",
            Self::IngressClass => "IngressClass",
            Self::Namespace => "Namespace",
            Self::Secret => "Secret",
            Self::Node => "Node",
            Self::ConfigMap => "ConfigMap",
        }
    }

    /// The one `apiVersion` that is read.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Service | Self::Namespace | Self::Secret | Self::Node | Self::ConfigMap => "v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::Ingress | Self::IngressClass => "networking.k8s.io/v1",
        }
    }

    /// Whether its objects lie in namespaces.
    pub fn namespaced(self) -> bool {
        !matches!(self, Self::IngressClass | Self::Namespace | Self::Node)
    }
}

impl From<&CaRef> for Key {
    fn from(object: &CaRef) -> Self {
        match object {
            CaRef::Secret(name) => Self::secret(name.clone()),
            CaRef::ConfigMap(name) => Self { kind: Kind::ConfigMap, name: name.clone() },
        }
    }
}

impl Key {
    /// A Secret.
    pub fn secret(name: ObjectName) -> Self {
        Self { kind: Kind::Secret, name }
    }

    /// The name of an object, checked: manifests are no API server, and may say anything.
    pub fn new(cluster: &ClusterId, kind: Kind, meta: &ObjectMeta) -> Result<Self, Diagnostic> {
        let refuse = |object: String, field: &str, problem: String, remedy: &str| {
            let mut report = Report::new(cluster, object);
            report.error(field, problem, remedy);
            report.into_diagnostics().remove(0)
        };
        let namespace = meta.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default");
        let Some(name) = meta.name.as_deref().filter(|name| !name.is_empty()) else {
            let (object, remedy) = match meta.generate_name.as_deref() {
                Some(_) => {
                    (format!("{kind} without a name"), "write `metadata.name`: only an API server fills in `generateName`")
                }
                None => (format!("{kind} without a name"), "write `metadata.name`"),
            };
            return Err(refuse(object, "metadata.name", "is missing".into(), remedy));
        };
        // The check is of the pair; a cluster-wide kind borrows a namespace for it.
        match format!("{}/{name}", if kind.namespaced() { namespace } else { "default" }).parse::<ObjectName>() {
            Ok(checked) if kind.namespaced() => Ok(Self { kind, name: checked }),
            Ok(checked) => Ok(Self { kind, name: ObjectName::new("", checked.name) }),
            Err(_) => Err(refuse(
                format!("{kind} {}/{}", shown(namespace), shown(name)),
                "metadata",
                "is not a name that Kubernetes allows".into(),
                "use lower-case letters, digits and inner hyphens, such as `shop` for the namespace and `web` for the name",
            )),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name.name)
        } else {
            write!(f, "{} {}", self.kind, self.name)
        }
    }
}

/// `causeway.dev/scope`: `fleet` where it is absent or says neither of its two values.
fn scope(annotations: Option<&BTreeMap<String, String>>, report: &mut Report<'_>) -> Scope {
    match annotations.and_then(|all| all.get(SCOPE)).map(String::as_str) {
        Some("cluster") => Scope::Cluster,
        Some("fleet") | None => Scope::Fleet,
        Some(other) => {
            report.warning(
                format_args!("metadata.annotations[{SCOPE}]"),
                format_args!("`{}` is not a scope, and `fleet` is assumed", shown(other)),
                "write `cluster` or `fleet`",
            );
            Scope::Fleet
        }
    }
}

/// A port number, 1 to 65535.
fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number != 0)
}

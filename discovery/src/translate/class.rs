//! `IngressClass` (`networking.k8s.io/v1`).

use causeway_config::ClusterId;
use causeway_core::cluster::IngressClass;
use causeway_core::diagnostics::Diagnostic;
use k8s_openapi::api::networking::v1;

use super::{Key, Kind, Object, Translated};
use crate::report::Report;

/// The annotation that makes a class the one of Ingresses that name none.
const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// Translates an ingress class.
pub fn ingress_class(cluster: &ClusterId, object: v1::IngressClass) -> Result<Translated, Diagnostic> {
    let key = Key::new(cluster, Kind::IngressClass, &object.metadata)?;
    let mut report = Report::new(cluster, &key);
    let controller = object.spec.and_then(|spec| spec.controller).unwrap_or_default();
    if controller.is_empty() {
        report.warning(
            "spec.controller",
            "is missing, so that the class says nothing",
            "name the controller that serves the class",
        );
    }
    let default = object.metadata.annotations.as_ref().and_then(|all| all.get(DEFAULT)).is_some_and(|value| value == "true");
    let class = IngressClass { controller: controller.into(), default };
    Ok(Translated { key, object: Object::IngressClass(class), diagnostics: report.into_diagnostics() })
}

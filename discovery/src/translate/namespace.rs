//! Namespace (`core/v1`).

use causeway_config::ClusterId;
use causeway_core::cluster::Namespace;
use causeway_core::diagnostics::Diagnostic;
use k8s_openapi::api::core::v1;

use super::{Key, Kind, Object, Translated, scope};
use crate::report::Report;

/// Translates a namespace.
pub fn namespace(cluster: &ClusterId, object: v1::Namespace) -> Result<Translated, Diagnostic> {
    let v1::Namespace { metadata, .. } = object;
    let key = Key::new(cluster, Kind::Namespace, &metadata)?;
    let mut report = Report::new(cluster, &key);
    let scope = scope(metadata.annotations.as_ref(), &mut report);
    Ok(Translated { key, object: Object::Namespace(Namespace { scope }), diagnostics: report.into_diagnostics() })
}

//! `ConfigMap` (`core/v1`): a place for authorities, whose certificates are no secret.

use std::sync::Arc;

use causeway_config::ClusterId;
use causeway_core::diagnostics::Diagnostic;
use k8s_openapi::api::core::v1;

use super::{Key, Kind, Object, Translated};
use crate::secret::{Secret, SecretBytes, SecretKind};

/// Translates a `ConfigMap`: it is kept as a Secret is, certificates and nothing else.
pub fn config_map(cluster: &ClusterId, object: v1::ConfigMap) -> Result<Translated, Diagnostic> {
    let texts = object.data.unwrap_or_default().into_iter().map(|(name, text)| (name, SecretBytes::new(text.into_bytes())));
    let bytes = object.binary_data.unwrap_or_default().into_iter().map(|(name, bytes)| (name, SecretBytes::new(bytes.0)));
    let held = Secret::new(SecretKind::ConfigMap, texts.chain(bytes));
    let key = Key::new(cluster, Kind::ConfigMap, &object.metadata)?;
    Ok(Translated { key, object: Object::Secret(Arc::new(held)), diagnostics: Vec::new() })
}

//! Secret (`core/v1`).

use std::sync::Arc;

use causeway_config::ClusterId;
use causeway_core::diagnostics::Diagnostic;
use k8s_openapi::api::core::v1;

use super::{Key, Kind, Object, Translated};
use crate::secret::{Secret, SecretBytes, SecretKind};

/// Translates a Secret. Its bytes are moved, not copied, and those that are not kept are wiped on the way.
pub fn secret(cluster: &ClusterId, object: v1::Secret) -> Result<Translated, Diagnostic> {
    let data = object.data.unwrap_or_default().into_iter().map(|(name, bytes)| (name, SecretBytes::new(bytes.0)));
    // `stringData` overwrites `data`, as the API server does it.
    let texts = object.string_data.unwrap_or_default().into_iter();
    let texts = texts.map(|(name, text)| (name, SecretBytes::new(text.into_bytes())));
    let kind = match object.type_.as_deref() {
        Some("kubernetes.io/tls") => SecretKind::Tls,
        Some("Opaque" | "") | None => SecretKind::Opaque,
        Some(other) => SecretKind::Other(other.into()),
    };
    let secret = Secret::new(kind, data.chain(texts));
    let key = Key::new(cluster, Kind::Secret, &object.metadata)?;
    Ok(Translated { key, object: Object::Secret(Arc::new(secret)), diagnostics: Vec::new() })
}

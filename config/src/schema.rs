//! The JSON Schema of the file, for editors: `# yaml-language-server: $schema=causeway.schema.json`.

use schemars::generate::SchemaSettings;

use crate::raw::RawConfig;

/// The schema (draft 2020-12), generated from the raw types; `config/causeway.schema.json` holds the same.
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<RawConfig>().to_value()
}

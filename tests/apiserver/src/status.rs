//! Errors in the form that clients know: `Status` (`meta/v1`).

use http::StatusCode;
use serde_json::{Value, json};

/// An error answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Status {
    pub(crate) code: StatusCode,
    reason: &'static str,
    message: String,
    /// Of details: which field is wrong.
    field: Option<String>,
    pub(crate) retry_after: Option<u32>,
}

impl Status {
    pub(crate) fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), field: None, retry_after: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", format!("{what} not found"))
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn gone() -> Self {
        Self::new(StatusCode::GONE, "Expired", "too old resource version")
    }

    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let code = StatusCode::UNPROCESSABLE_ENTITY;
        Self { field: Some(field.into()), ..Self::new(code, "Invalid", message) }
    }

    /// By a bare code, for faults on command.
    pub(crate) fn of_code(code: u16, retry_after: Option<u32>) -> Self {
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reason = match code {
            429 => "TooManyRequests",
            503 => "ServiceUnavailable",
            410 => "Expired",
            403 => "Forbidden",
            401 => "Unauthorized",
            _ => "InternalError",
        };
        Self { retry_after, ..Self::new(status, reason, format!("answered {code} on command")) }
    }

    pub(crate) fn json(&self) -> Value {
        let mut value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code.as_u16(),
        });
        if let Some(field) = &self.field {
            value["details"] = json!({"causes": [{"reason": "FieldValueInvalid", "message": self.message, "field": field}]});
        }
        value
    }
}

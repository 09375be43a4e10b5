//! `tls` towards clients, and `upstream` towards backends.

use std::time::Duration;

use super::Check;
use super::values::{self, positive_duration};
use crate::error::FaultKind;
use crate::ids::{CaRef, ObjectName};
use crate::model::{CertFile, ClientCa, ClientCertificates, DefaultCertificate, Tls, TlsVersion, Upstream};
use crate::raw::{
    At, RawCertFile, RawClientCertificateMode, RawClientCertificates, RawDefaultCertificate, RawDuration, RawRequestTimeout,
    RawResponseTimeout, RawTls, RawTlsVersion, RawUpstream,
};
use crate::tree::NodeId;

impl Check<'_> {
    pub(super) fn tls(&self, raw: &At<RawTls>) -> Tls {
        let Some(raw) = raw.get() else { return Tls::default() };
        let files = raw.files.get().map(Vec::as_slice).unwrap_or_default();
        Tls {
            min_version: raw.min_version.get().copied().map(version).unwrap_or_default(),
            files: files
                .iter()
                .filter_map(At::given)
                .filter_map(|(at, RawCertFile { cert, key })| self.cert_file(at, cert, key))
                .collect(),
            secrets: self.list(&raw.secrets, values::name::<ObjectName>).unwrap_or_default(),
            default: self.default_certificate(&raw.default),
            ticket_secret: self.path(&raw.ticket_secret),
        }
    }

    pub(super) fn client_certificates(&self, raw: &At<RawClientCertificates>) -> Option<ClientCertificates> {
        let (at, raw) = raw.given()?;
        let given = [&raw.ca, &raw.secret, &raw.config_map].into_iter().filter(|field| field.is_given()).count();
        if given != 1 {
            let found = if given == 0 { "no authorities are named" } else { "authorities are named in more than one place" };
            let remedy = "write one of `ca: FILE`, `secret: NAMESPACE/NAME` and `configMap: NAMESPACE/NAME`";
            self.report.fault(at, if given == 0 { FaultKind::MissingField } else { FaultKind::Conflict }, found, remedy);
        }
        let object = |field| self.value(field, values::name::<ObjectName>);
        let ca = if raw.secret.is_given() {
            ClientCa::Object(CaRef::Secret(object(&raw.secret)?))
        } else if raw.config_map.is_given() {
            ClientCa::Object(CaRef::ConfigMap(object(&raw.config_map)?))
        } else {
            ClientCa::File(self.path(&raw.ca)?)
        };
        let optional = matches!(raw.mode.get(), Some(RawClientCertificateMode::Optional));
        Some(ClientCertificates { ca, optional })
    }

    fn cert_file(&self, at: NodeId, cert: &At<String>, key: &At<String>) -> Option<CertFile> {
        for (name, file) in [("cert", cert), ("key", key)] {
            self.need(at, name, file, "a certificate in files takes both `cert` and `key`");
        }
        let (cert, key) = (self.path(cert), self.path(key));
        Some(CertFile { cert: cert?, key: key? })
    }

    fn default_certificate(&self, raw: &At<RawDefaultCertificate>) -> Option<DefaultCertificate> {
        let (at, RawDefaultCertificate { secret, cert, key }) = raw.given()?;
        let files = cert.is_given() || key.is_given();
        if secret.is_given() == files {
            let found = if files { "both a `secret` and files are given" } else { "neither a `secret` nor files are given" };
            self.report.fault(at, FaultKind::Conflict, found, "write `{secret: NAMESPACE/NAME}` or `{cert: FILE, key: FILE}`");
        }
        if files {
            return self.cert_file(at, cert, key).map(DefaultCertificate::Files);
        }
        self.value(secret, values::name::<ObjectName>).map(DefaultCertificate::Secret)
    }

    pub(super) fn upstream(&self, raw: &At<RawUpstream>) -> Upstream {
        let default = Upstream::default();
        let Some(raw) = raw.get() else { return default };
        let duration = |raw: &At<RawDuration>, default| {
            raw.given().and_then(|(at, RawDuration(text))| self.text(at, text, positive_duration)).unwrap_or(default)
        };
        if let Some((at, 0)) = raw.attempts.given() {
            self.report.fault(at, FaultKind::BadValue, "0 attempts would send nothing", "write 1 to try once and never again");
        }
        let response_timeout = raw.response_timeout.given().and_then(|(at, RawResponseTimeout(text))| match text.as_str() {
            "auto" => None,
            _ => self.text(at, text, |text| or_word(text, "auto")),
        });
        let request_timeout = match raw.request_timeout.given() {
            Some((_, RawRequestTimeout(text))) if text == "off" => None,
            Some((at, RawRequestTimeout(text))) => self.text(at, text, |text| or_word(text, "off")),
            None => default.request_timeout.max(response_timeout.map(|each| each * 2)),
        };
        if let (Some(each), Some(all)) = (response_timeout, request_timeout)
            && each > all
        {
            self.report.warn(
                raw.response_timeout.node(),
                "a single try may take longer than the whole request, so that it will never take so long",
                "make `requestTimeout` longer, or this shorter",
            );
        }
        Upstream {
            connect_timeout: duration(&raw.connect_timeout, default.connect_timeout),
            response_timeout,
            request_timeout,
            attempts: raw.attempts.get().copied().unwrap_or(default.attempts),
            concurrency: self.concurrency(raw),
        }
    }
}

/// A duration where a word may stand as well.
fn or_word(text: &str, word: &str) -> Result<Duration, values::Refusal> {
    positive_duration(text).map_err(|(message, remedy)| (message, format!("{remedy}; or `{word}`")))
}

pub(super) fn version(raw: RawTlsVersion) -> TlsVersion {
    match raw {
        RawTlsVersion::V1_2 => TlsVersion::V1_2,
        RawTlsVersion::V1_3 => TlsVersion::V1_3,
    }
}

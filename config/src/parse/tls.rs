//! `tls` towards clients, and `upstream` towards backends.

use super::Check;
use super::values::{self, positive_duration};
use crate::error::FaultKind;
use crate::ids::ObjectName;
use crate::model::{CertFile, DefaultCertificate, Tls, TlsVersion, Upstream};
use crate::raw::{At, RawCertFile, RawDefaultCertificate, RawDuration, RawTls, RawTlsVersion, RawUpstream};
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
        }
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
        Upstream {
            connect_timeout: duration(&raw.connect_timeout, default.connect_timeout),
            response_timeout: duration(&raw.response_timeout, default.response_timeout),
            attempts: raw.attempts.get().copied().unwrap_or(default.attempts),
        }
    }
}

pub(super) fn version(raw: RawTlsVersion) -> TlsVersion {
    match raw {
        RawTlsVersion::V1_2 => TlsVersion::V1_2,
        RawTlsVersion::V1_3 => TlsVersion::V1_3,
    }
}

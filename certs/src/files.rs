//! Certificates in files: `tls.files`, and `tls.default` where it names files.
//!
//! The only IO of the crate. It returns bytes rather than a [`crate::Certificate`], so that files and Secrets go
//! through the same door; but it looks into them, since only here a message can name the file.

use std::path::Path;

use causeway_config::{CertFile, Fleet};
use zeroize::Zeroizing;

use crate::error::CertError;
use crate::fleet_trust::{FleetFiles, FleetTrust};
use crate::pem::{self, PemPair};

/// Reads the pair that `files` names. Errors are [`CertError::File`] and name the file that is to blame.
///
/// Blocks on the disk; call it where that is allowed.
pub fn load(files: &CertFile) -> Result<PemPair, CertError> {
    let cert = read(&files.cert)?;
    pem::chain(&cert).map_err(|e| at(&files.cert, e))?;
    let key = Zeroizing::new(read(&files.key)?);
    pem::key(&key).map_err(|e| at(&files.key, e))?;
    Ok(PemPair { cert, key })
}

/// Reads what `fleet.tls` names. Errors name the file that is to blame.
///
/// Blocks on the disk; call it where that is allowed.
pub fn load_fleet(fleet: &Fleet) -> Result<Option<FleetTrust>, CertError> {
    let Some(tls) = &fleet.tls else { return Ok(None) };
    let ca = read(&tls.ca)?;
    pem::chain(&ca).map_err(|e| at(&tls.ca, e))?;
    let PemPair { cert, key } = load(&CertFile { cert: tls.cert.clone(), key: tls.key.clone() })?;
    let files = FleetFiles { ca: &ca, cert: &cert, key: &key };
    FleetTrust::read(&fleet.name, files, &fleet.revoked).map(Some).map_err(|e| at(&tls.cert, e))
}

fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    std::fs::read(path).map_err(|e| at(path, CertError::Unreadable { reason: e.to_string() }))
}

fn at(path: &Path, error: CertError) -> CertError {
    CertError::File { path: path.into(), error: Box::new(error) }
}

#[cfg(test)]
mod tests;

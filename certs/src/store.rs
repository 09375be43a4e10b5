//! The published index: one writer, any number of readers.
//!
//! Certificates are a consistency domain of their own, apart from the snapshot of routes: keys never enter that.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::index::CertIndex;

/// Reads the index that is published now. Cheap to clone; each listener has one.
#[derive(Clone, Debug)]
pub struct CertCell(Arc<ArcSwap<CertIndex>>);

/// The one handle that replaces the index. Not `Clone`.
#[derive(Debug)]
pub struct CertPublisher(CertCell);

impl CertCell {
    /// A cell with its first index, and the handle that replaces it.
    pub fn new(index: CertIndex) -> (CertPublisher, Self) {
        let cell = Self(Arc::new(ArcSwap::from_pointee(index)));
        (CertPublisher(cell.clone()), cell)
    }

    /// The index of this moment. Load it once per handshake.
    pub fn load(&self) -> Arc<CertIndex> {
        self.0.load_full()
    }
}

impl CertPublisher {
    /// Replaces the index for handshakes that begin from now on, unless it is equal to the one before. Returns whether
    /// it was replaced. Connections that stand keep what they were accepted with.
    pub fn publish(&mut self, index: CertIndex) -> bool {
        let changed = *self.0.load() != index;
        if changed {
            self.0.0.store(Arc::new(index));
        }
        changed
    }

    /// The index of this moment: what [`CertIndex::rebuild`] starts from.
    pub fn current(&self) -> Arc<CertIndex> {
        self.0.load()
    }
}

#[cfg(test)]
mod tests;

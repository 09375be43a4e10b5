//! Where faults and warnings gather while one document is read and checked.

use std::cell::{Cell, RefCell};

use crate::error::{Fault, FaultKind, MAX_FAULTS};
use crate::tree::{NodeId, Tree};

/// The faults of one document so far.
pub(crate) struct Report<'t> {
    pub(crate) tree: &'t Tree,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
    omitted: Cell<usize>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(tree: &'t Tree) -> Self {
        Self { tree, faults: RefCell::default(), warnings: RefCell::default(), omitted: Cell::new(0) }
    }

    /// Notes what makes the configuration invalid.
    pub(crate) fn fault(&self, at: NodeId, kind: FaultKind, message: impl Into<String>, remedy: impl Into<String>) {
        // Faults come phase by phase, and are sorted by place later: keep more than are shown, but not without end.
        if self.faults.borrow().len() >= 10 * MAX_FAULTS {
            self.omitted.set(self.omitted.get() + 1);
            return;
        }
        let fault = self.make(at, kind, message.into(), remedy.into());
        self.faults.borrow_mut().push(fault);
    }

    /// Notes what is legal and worth a second look.
    pub(crate) fn warn(&self, at: NodeId, message: impl Into<String>, remedy: impl Into<String>) {
        if self.warnings.borrow().len() < MAX_FAULTS {
            let fault = self.make(at, FaultKind::Risk, message.into(), remedy.into());
            self.warnings.borrow_mut().push(fault);
        }
    }

    fn make(&self, at: NodeId, kind: FaultKind, message: String, remedy: String) -> Fault {
        let (line, column) = self.tree.position(at);
        Fault { line, column, path: self.tree.path(at), kind, message, remedy }
    }

    /// Faults, how many more were left out, and warnings.
    pub(crate) fn into_parts(self) -> (Vec<Fault>, usize, Vec<Fault>) {
        let mut warnings = self.warnings.into_inner();
        warnings.sort_by_key(|w| (w.line, w.column));
        (self.faults.into_inner(), self.omitted.get(), warnings)
    }
}

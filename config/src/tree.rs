//! The document as a tree that knows where every value stood.
//!
//! First of the phases of [`crate::parse`]: text -> tree -> raw types -> checked types. Errors of every later phase are
//! about a node, and a node knows its line, column and path; so none of them can be without a place. serde-saphyr can
//! deserialise typed values directly, but stops at the first fault; the tree lets us go on after each.

pub(crate) mod build;
pub(crate) mod de;

/// One value (or key) of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(u32);

/// All values of a document. Aliases are copied, so that every value has one parent.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

/// A value, its place, and how its parent leads to it.
#[derive(Debug)]
pub(crate) struct Node {
    line: u32,
    column: u32,
    parent: Option<NodeId>,
    step: Step,
    depth: u8,
    pub(crate) kind: Kind,
}

/// From a parent to a child.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The document, or a key; a key's own path is that of its value.
    Itself,
    /// An element of a list, from 0.
    Element(usize),
    /// The value of that key.
    ValueOf(NodeId),
}

/// The three shapes of YAML.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A text; numbers and truth values are told apart only when a type asks, so that a country may be called `NO`.
    Scalar {
        /// After unescaping.
        text: Box<str>,
        /// Neither quoted nor a block.
        plain: bool,
    },
    /// `- a`
    List(Vec<NodeId>),
    /// `a: b`, in order, no key twice.
    Map(Vec<(NodeId, NodeId)>),
}

impl Tree {
    /// The document's own value.
    pub(crate) const ROOT: NodeId = NodeId(0);

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Line and column, both from 1.
    pub(crate) fn position(&self, id: NodeId) -> (u32, u32) {
        let node = self.node(id);
        (node.line, node.column)
    }

    /// The text of a scalar.
    pub(crate) fn text(&self, id: NodeId) -> Option<&str> {
        match &self.node(id).kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether nothing stands there: a plain scalar that YAML 1.2 (10.3.2) reads as null.
    pub(crate) fn is_null(&self, id: NodeId) -> bool {
        matches!(&self.node(id).kind, Kind::Scalar { text, plain: true } if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The way to a node: `clusters.aws.podCIDRs[1]`, keys with other signs in quotes.
    pub(crate) fn path(&self, id: NodeId) -> String {
        let mut steps = Vec::new();
        let mut at = Some(id);
        while let Some(id) = at {
            let node = self.node(id);
            steps.push(match node.step {
                Step::Itself => None,
                Step::Element(i) => Some(format!("[{i}]")),
                Step::ValueOf(key) => Some(segment(self.text(key).unwrap_or("?"))),
            });
            at = node.parent;
        }
        let mut path = String::new();
        for step in steps.into_iter().rev().flatten() {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(&step);
        }
        path
    }
}

/// A key as part of a path.
fn segment(key: &str) -> String {
    if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        key.to_owned()
    } else {
        format!("\"{}\"", shorten(key))
    }
}

/// What may stand in a message of a text that somebody else wrote: little of it, and nothing that moves a terminal's cursor
/// or begins a new line of a log.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown = String::new();
    for c in text.chars().take(SHOWN) {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

//! Text -> [`Tree`], by the events of serde-saphyr's parser.
//!
//! Events carry a scalar's text as it was written, which typed deserialisation throws away: `NO` stays Norway, and
//! `1.2` a TLS version. Whatever an attacker or a broken template may send ends here: size, depth, expansion.

use std::collections::HashMap;

use serde_yaml::granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{Kind, Node, NodeId, Step, Tree, shorten};
use crate::error::{Fault, FaultKind};

/// Levels of nesting; the schema has eight.
const MAX_DEPTH: u8 = 32;
/// Values after aliases are expanded. Two for each of 100,000 known networks is the largest that anybody will need.
pub(super) const MAX_NODES: usize = 250_000;

/// What could be read.
#[derive(Default)]
pub(crate) struct Built {
    /// Of a key that stands twice in a mapping, only the first is in the tree's mappings.
    pub(crate) tree: Tree,
    /// The keys that were left out, each with the first of its name.
    pub(crate) duplicates: Vec<(NodeId, NodeId)>,
}

/// Builds the tree. `Err` is a fault after which nothing can be known of the rest.
pub(crate) fn build(text: &str) -> Result<Built, Fault> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_anchor_events = false;
    // A wildcard host such as `*.example.com` that lost its quotes reads as an alias; we can name the remedy.
    options.emit_unresolved_aliases = true;
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|e| syntax(&e))?;
        builder.event(event, &span)?;
    }
    let Builder { built, .. } = builder;
    if built.tree.nodes.is_empty() || (built.tree.nodes.len() == 1 && built.tree.is_null(Tree::ROOT)) {
        return Err(Fault::at(
            1,
            1,
            FaultKind::Empty,
            "there is nothing in this file",
            "name at least one cluster, such as `clusters: {home: {}}`",
        ));
    }
    Ok(built)
}

/// A collection that has not ended yet.
struct Open {
    id: NodeId,
    /// In a mapping: the key whose value comes next.
    key: Option<NodeId>,
    /// In a mapping: its keys so far.
    seen: HashMap<Box<str>, NodeId>,
}

#[derive(Default)]
struct Builder {
    built: Built,
    open: Vec<Open>,
    anchors: HashMap<usize, NodeId>,
    documents: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(here(
                        span,
                        FaultKind::Syntax,
                        "a second document begins here",
                        "one file holds one configuration: remove the line `---` and join the documents, or the rest",
                    ));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.as_deref(), span)?;
                let plain = style == ScalarStyle::Plain;
                let id = self.push(Kind::Scalar { text: text.into(), plain }, span, anchor)?;
                self.close(id);
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), span)?;
                self.begin(Kind::List(Vec::new()), span, anchor)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), span)?;
                self.begin(Kind::Map(Vec::new()), span, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let ended = self.open.pop().expect("the parser ends only what it began");
                self.close(ended.id);
            }
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).copied().expect("the parser resolves only anchors that it announced");
                if self.open.iter().any(|o| o.id == target) {
                    return Err(here(
                        span,
                        FaultKind::Syntax,
                        "this alias stands inside the value that it refers to",
                        "write the value out instead",
                    ));
                }
                let (parent, step, depth) = self.slot();
                let copy = self.copy(target, parent, step, depth, span)?;
                self.close(copy);
            }
            Event::UnresolvedAlias(name) => {
                // A colon may be part of an anchor's name (YAML 1.2, 6.9.2); here it ended a key.
                let name = shorten(name.trim_end_matches(':'));
                return Err(here(
                    span,
                    FaultKind::Syntax,
                    format!("YAML reads `*{name}` as an alias, and there is no anchor `&{name}` before it"),
                    format!("put it in quotes: \"*{name}\""),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Where the next node goes: its parent, the step to it, its depth.
    fn slot(&self) -> (Option<NodeId>, Step, u8) {
        let Some(open) = self.open.last() else { return (None, Step::Itself, 0) };
        let parent = self.built.tree.node(open.id);
        let step = match (&parent.kind, open.key) {
            (Kind::List(items), _) => Step::Element(items.len()),
            (_, Some(key)) => Step::ValueOf(key),
            // A key: its step is set to itself once it is known to be one.
            (_, None) => Step::Itself,
        };
        (Some(open.id), step, parent.depth.saturating_add(1))
    }

    fn push(&mut self, kind: Kind, span: &Span, anchor: usize) -> Result<NodeId, Fault> {
        let (parent, step, depth) = self.slot();
        let (line, column) = position(span);
        let id = self.add(Node { line, column, parent, step, depth, kind }, span)?;
        if let (Some(map), Step::Itself) = (parent, step)
            && matches!(self.built.tree.node(map).kind, Kind::Map(_))
        {
            self.built.tree.nodes[id.0 as usize].step = Step::ValueOf(id);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        Ok(id)
    }

    fn add(&mut self, node: Node, span: &Span) -> Result<NodeId, Fault> {
        if node.depth > MAX_DEPTH {
            return Err(here(
                span,
                FaultKind::TooLarge,
                format!("values are nested more than {MAX_DEPTH} deep here"),
                "check the indentation and the brackets; no field of the configuration nests that deep",
            ));
        }
        if self.built.tree.nodes.len() >= MAX_NODES {
            return Err(here(
                span,
                FaultKind::TooLarge,
                format!("with this one the file has more than {MAX_NODES} values, aliases expanded"),
                "use fewer aliases of large values, or fewer networks",
            ));
        }
        let id = NodeId(u32::try_from(self.built.tree.nodes.len()).expect("bounded by MAX_NODES"));
        self.built.tree.nodes.push(node);
        Ok(id)
    }

    fn begin(&mut self, kind: Kind, span: &Span, anchor: usize) -> Result<(), Fault> {
        let id = self.push(kind, span, anchor)?;
        self.open.push(Open { id, key: None, seen: HashMap::new() });
        Ok(())
    }

    /// Hands a finished node to its parent.
    fn close(&mut self, id: NodeId) {
        let Some(open) = self.open.last_mut() else { return };
        let key = match &mut self.built.tree.nodes[open.id.0 as usize].kind {
            Kind::List(items) => return items.push(id),
            Kind::Scalar { .. } => unreachable!("only collections are opened"),
            Kind::Map(_) => {
                let Some(key) = open.key.take() else {
                    open.key = Some(id);
                    return;
                };
                key
            }
        };
        if let Some(text) = self.built.tree.text(key) {
            if let Some(first) = open.seen.get(text) {
                self.built.duplicates.push((key, *first));
                return;
            }
            open.seen.insert(text.into(), key);
        }
        if let Kind::Map(entries) = &mut self.built.tree.nodes[open.id.0 as usize].kind {
            entries.push((key, id));
        }
    }

    /// Copies what an alias stands for. The copies keep the places of the originals: that is where a mistake is mended.
    fn copy(&mut self, from: NodeId, parent: Option<NodeId>, step: Step, depth: u8, span: &Span) -> Result<NodeId, Fault> {
        let (line, column) = self.built.tree.position(from);
        let kind = match &self.built.tree.node(from).kind {
            Kind::Scalar { text, plain } => Kind::Scalar { text: text.clone(), plain: *plain },
            Kind::List(_) => Kind::List(Vec::new()),
            Kind::Map(_) => Kind::Map(Vec::new()),
        };
        let id = self.add(Node { line, column, parent, step, depth, kind }, span)?;
        if let (Step::Itself, Some(_)) = (step, parent) {
            self.built.tree.nodes[id.0 as usize].step = Step::ValueOf(id);
        }
        // Depth is bounded by `add`, so this recursion is too.
        if let Kind::List(items) = &self.built.tree.node(from).kind {
            let mut copies = Vec::new();
            for (i, item) in items.clone().into_iter().enumerate() {
                copies.push(self.copy(item, Some(id), Step::Element(i), depth + 1, span)?);
            }
            self.built.tree.nodes[id.0 as usize].kind = Kind::List(copies);
        } else if let Kind::Map(entries) = &self.built.tree.node(from).kind {
            let mut copies = Vec::new();
            for (key, value) in entries.clone() {
                let key = self.copy(key, Some(id), Step::Itself, depth + 1, span)?;
                copies.push((key, self.copy(value, Some(id), Step::ValueOf(key), depth + 1, span)?));
            }
            self.built.tree.nodes[id.0 as usize].kind = Kind::Map(copies);
        }
        Ok(id)
    }
}

fn refuse_tag(tag: Option<&Tag>, span: &Span) -> Result<(), Fault> {
    match tag {
        None => Ok(()),
        Some(tag) => Err(here(
            span,
            FaultKind::Syntax,
            format!("the tag `{}` has no meaning here", shorten(&tag.original())),
            "remove it; to make a text of a value, put it in quotes",
        )),
    }
}

fn position(span: &Span) -> (u32, u32) {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (narrow(span.start.line()), narrow(span.start.col() + 1))
}

fn here(span: &Span, kind: FaultKind, message: impl Into<String>, remedy: impl Into<String>) -> Fault {
    let (line, column) = position(span);
    Fault::at(line, column, kind, message, remedy)
}

/// The parser's own errors speak of tokens; the remedy speaks to the author.
fn syntax(error: &ScanError) -> Fault {
    use ErrorKind as E;
    let kind = match error.kind() {
        E::RecursionLimitExceeded => FaultKind::TooLarge,
        _ => FaultKind::Syntax,
    };
    let remedy = match error.kind() {
        E::TabNotAllowed | E::TabInBlockIndentation | E::TabInIndentation | E::TabInPlainScalar => "indent with spaces, not tabs",
        E::UnexpectedCharacter { .. } => "put the value in quotes",
        E::UnclosedQuotedScalar => "close the quote",
        E::UnclosedFlowCollection { .. }
        | E::MisplacedFlowCollectionEnd
        | E::MismatchedFlowCollectionEnd { .. }
        | E::UnexpectedEofFlowSequence
        | E::UnexpectedEofFlowMapping
        | E::UnexpectedEofImplicitFlowMapping
        | E::ExpectedFlowMappingSeparator
        | E::ExpectedFlowSequenceSeparator => {
            "check that each `[` has its `]`, each `{` its `}`, and entries have commas between them"
        }
        E::MissingAnchorOrAliasName => "put a value that begins with `*` or `&` in quotes",
        E::SimpleKeyExpected | E::InvalidSimpleKey => "a key needs `: ` after it: a colon and a space",
        E::MappingValueNotAllowed | E::InvalidColonPlacement => {
            "put a value that contains `: ` in quotes, and align keys of one mapping in one column"
        }
        _ => "check the indentation of this line and the one before: spaces only, keys of one mapping in one column",
    };
    let marker = error.marker();
    here(&Span::empty(*marker), kind, format!("this is not YAML: {}", error.kind()), remedy)
}

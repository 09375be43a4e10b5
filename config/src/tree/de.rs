//! [`Tree`] -> raw types, by serde, without stopping at faults.
//!
//! Serde gives up at the first error. Here every value that can be wrong is an [`At`], which cannot fail: it notes the
//! fault in the [`Report`] and holds nothing, and its neighbours are read on. Three more things derive cannot do are done
//! where they cost nothing: unknown fields are reported one by one, with the nearest known name; an enum whose variants
//! are called [`SCALAR`], [`LIST`] and [`MAP`] chooses by the shape of the value; and null is only ever an empty mapping.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, Unexpected, Visitor};

use super::{Kind, NodeId, Tree, shorten};
use crate::error::{FaultKind, enumerate, suggest};
use crate::parse::report::Report;

/// Variant of a shape enum: text, number, truth value.
pub(crate) const SCALAR: &str = "$scalar";
/// Variant of a shape enum: list.
pub(crate) const LIST: &str = "$list";
/// Variant of a shape enum: mapping.
pub(crate) const MAP: &str = "$map";
const AT: &str = "$at";

/// A field or element: absent, present with its place, or present and faulty (then the fault is in the report already).
#[derive(Clone, Debug)]
pub struct At<T> {
    node: Option<NodeId>,
    value: Option<T>,
}

impl<T> At<T> {
    /// The value, unless absent or faulty.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Whether the author wrote it, right or wrong.
    pub(crate) fn is_given(&self) -> bool {
        self.node.is_some()
    }

    /// Its place; where it is absent, that of `parent`.
    pub(crate) fn node_or(&self, parent: NodeId) -> NodeId {
        self.node.unwrap_or(parent)
    }

    /// Its place; the document's where it is absent, for values that are known to be given.
    pub(crate) fn node(&self) -> NodeId {
        self.node_or(Tree::ROOT)
    }

    /// Place and value of a value that was given and had the right type.
    pub(crate) fn given(&self) -> Option<(NodeId, &T)> {
        self.node.zip(self.value.as_ref())
    }
}

impl<T> Default for At<T> {
    fn default() -> Self {
        Self { node: None, value: None }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AtVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for AtVisitor<T> {
            type Value = At<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value with its place")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<At<T>, A::Error> {
                let node = seq.next_element()?.map(NodeId);
                Ok(At { node, value: seq.next_element()? })
            }
        }
        deserializer.deserialize_newtype_struct(AT, AtVisitor(PhantomData))
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// Reads the whole document.
pub(crate) fn read<'de, T: Deserialize<'de>>(report: &'de Report<'de>) -> At<T> {
    At::deserialize(Value { report, node: Tree::ROOT }).unwrap_or_default()
}

/// Why one value could not be read; the innermost [`At`] around it knows the place.
#[derive(Debug)]
pub(crate) struct Mismatch {
    kind: FaultKind,
    message: String,
    remedy: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { kind: FaultKind::BadValue, message: message.to_string(), remedy: "see docs/configuration.md".into() }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self { kind: FaultKind::WrongType, message: format!("this is not {expected}"), remedy: format!("write {expected}") }
    }
}

/// One node, as a deserializer.
#[derive(Clone, Copy)]
struct Value<'de> {
    report: &'de Report<'de>,
    node: NodeId,
}

impl<'de> Value<'de> {
    fn tree(self) -> &'de Tree {
        self.report.tree
    }

    fn at(self, node: NodeId) -> Self {
        Self { node, ..self }
    }

    fn kind(self) -> &'de Kind {
        &self.tree().node(self.node).kind
    }

    fn mismatch(self, expected: &str) -> Mismatch {
        self.mismatch_with(expected, expected)
    }

    /// `right`: what to write, where more can be said than what is `expected`.
    fn mismatch_with(self, expected: &str, right: &str) -> Mismatch {
        let found = match self.kind() {
            Kind::Scalar { .. } if self.tree().is_null(self.node) => {
                return Mismatch {
                    kind: FaultKind::WrongType,
                    message: "nothing stands here".into(),
                    remedy: format!("write {right}, or remove the field"),
                };
            }
            Kind::Scalar { text, plain: true } => format!("`{}`", shorten(text)),
            Kind::Scalar { text, .. } => format!("the text \"{}\"", shorten(text)),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        };
        Mismatch {
            kind: FaultKind::WrongType,
            message: format!("found {found} where {expected} should stand"),
            remedy: format!("write {right}"),
        }
    }

    /// A scalar that is not null.
    fn scalar(self, expected: &str) -> Result<&'de str, Mismatch> {
        match self.kind() {
            Kind::Scalar { text, .. } if !self.tree().is_null(self.node) => Ok(text),
            _ => Err(self.mismatch(expected)),
        }
    }

    /// A scalar without quotes, as `T`.
    fn plain<T: std::str::FromStr>(self, expected: &str) -> Result<T, Mismatch> {
        match self.kind() {
            Kind::Scalar { text, plain: true } => text.parse().map_err(|_| self.mismatch(expected)),
            Kind::Scalar { text, .. } if text.parse::<T>().is_ok() => {
                Err(self.mismatch_with(expected, &format!("`{}` without quotes", shorten(text))))
            }
            _ => Err(self.mismatch(expected)),
        }
    }

    /// The entries of a mapping, or of nothing; `right` says what the mapping may hold.
    fn entries(self, right: impl Fn() -> String) -> Result<&'de [(NodeId, NodeId)], Mismatch> {
        match self.kind() {
            Kind::Map(entries) => Ok(entries),
            Kind::Scalar { .. } if self.tree().is_null(self.node) => Ok(&[]),
            _ => Err(self.mismatch_with("a mapping", &right())),
        }
    }

    /// Whether `key` is one of `fields`; if not, that is reported.
    fn is_known(self, key: NodeId, fields: &'static [&'static str]) -> bool {
        let Some(name) = self.tree().text(key) else {
            self.report.fault(
                key,
                FaultKind::WrongType,
                "a list or mapping stands for a field's name",
                "write the name of a field",
            );
            return false;
        };
        if fields.contains(&name) {
            return true;
        }
        let remedy = match name {
            "<<" => "merge keys are not supported: repeat the fields, or use an alias for a whole value".to_owned(),
            _ => suggest(name, fields.iter().copied(), &format!("the fields here are {}", enumerate(fields.iter().copied()))),
        };
        self.report.fault(key, FaultKind::UnknownField, format!("there is no field `{}` here", shorten(name)), remedy);
        false
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.kind() {
            Kind::Scalar { text, .. } => visitor.visit_borrowed_str(text),
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.plain("`true` or `false`").and_then(|b| visitor.visit_bool(b))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.plain("a number").and_then(|n| visitor.visit_f64(n))
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.plain("a whole number, 0 or more").and_then(|n| visitor.visit_u32(n))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_borrowed_str(self.scalar("a text")?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Mismatch> {
        match name {
            AT => visitor.visit_seq(Placed { value: self, parts: 0 }),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.kind() {
            Kind::List(items) => visitor.visit_seq(Elements { value: self, rest: items }),
            Kind::Scalar { text, .. } if !self.tree().is_null(self.node) => {
                Err(self.mismatch_with("a list", &format!("a list: `[{}]`", shorten(text))))
            }
            _ => Err(self.mismatch("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let rest = self.entries(|| "a mapping".to_owned())?;
        visitor.visit_map(Entries { value: self, rest, fields: None, pending: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        let rest = self.entries(|| format!("a mapping with {}", enumerate(fields.iter().copied())))?;
        visitor.visit_map(Entries { value: self, rest, fields: Some(fields), pending: None })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        let variant = if variants.iter().any(|v| v.starts_with('$')) {
            let shape = match self.kind() {
                Kind::Scalar { .. } if self.tree().is_null(self.node) => "null",
                Kind::Scalar { .. } => SCALAR,
                Kind::List(_) => LIST,
                Kind::Map(_) => MAP,
            };
            let words = |v: &&str| match *v {
                SCALAR => "a text",
                LIST => "a list",
                _ => "a mapping",
            };
            if !variants.contains(&shape) {
                return Err(self.mismatch(&variants.iter().map(words).collect::<Vec<_>>().join(" or ")));
            }
            shape
        } else {
            let choice = match variants {
                [only] => format!("`{only}`"),
                several => format!("one of {}", enumerate(several.iter().copied())),
            };
            let word = self.scalar(&choice)?;
            *variants.iter().find(|v| **v == word).ok_or_else(|| Mismatch {
                kind: FaultKind::BadValue,
                message: format!("`{}` is not {choice}", shorten(word)),
                remedy: suggest(word, variants.iter().copied(), &format!("write {choice}")),
            })?
        };
        visitor.visit_enum(Choice { value: self, variant })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 char bytes byte_buf option unit unit_struct tuple tuple_struct ignored_any
    }
}

/// What an [`At`] reads: the node's number, then its value.
struct Placed<'de> {
    value: Value<'de>,
    parts: u8,
}

impl<'de> de::SeqAccess<'de> for Placed<'de> {
    type Error = Mismatch;
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mismatch> {
        self.parts += 1;
        if self.parts == 1 {
            let id: U32Deserializer<Mismatch> = self.value.node.0.into_deserializer();
            return seed.deserialize(id).map(Some);
        }
        match seed.deserialize(self.value) {
            Ok(value) => Ok(Some(value)),
            Err(Mismatch { kind, message, remedy }) => {
                self.value.report.fault(self.value.node, kind, message, remedy);
                Ok(None)
            }
        }
    }
}

struct Elements<'de> {
    value: Value<'de>,
    rest: &'de [NodeId],
}

impl<'de> de::SeqAccess<'de> for Elements<'de> {
    type Error = Mismatch;
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mismatch> {
        let Some((first, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        seed.deserialize(self.value.at(*first)).map(Some)
    }
}

struct Entries<'de> {
    value: Value<'de>,
    rest: &'de [(NodeId, NodeId)],
    /// The fields that a struct knows; `None` for a map, whose keys are data.
    fields: Option<&'static [&'static str]>,
    pending: Option<NodeId>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Mismatch;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mismatch> {
        while let Some(((key, value), rest)) = self.rest.split_first() {
            self.rest = rest;
            self.pending = Some(*value);
            match self.fields {
                None => return seed.deserialize(self.value.at(*key)).map(Some),
                Some(fields) if self.value.is_known(*key, fields) => {
                    let name: StrDeserializer<'_, Mismatch> =
                        self.value.tree().text(*key).unwrap_or_default().into_deserializer();
                    return seed.deserialize(name).map(Some);
                }
                Some(_) => {}
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mismatch> {
        let node = self.pending.take().expect("serde asks for a value only after its key");
        seed.deserialize(self.value.at(node))
    }
}

struct Choice<'de> {
    value: Value<'de>,
    variant: &'static str,
}

impl<'de> de::EnumAccess<'de> for Choice<'de> {
    type Error = Mismatch;
    type Variant = Self;
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Mismatch> {
        let variant: StrDeserializer<'_, Mismatch> = self.variant.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Choice<'de> {
    type Error = Mismatch;

    fn unit_variant(self) -> Result<(), Mismatch> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Mismatch> {
        seed.deserialize(self.value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mismatch> {
        self.value.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Mismatch> {
        self.value.deserialize_struct("", fields, visitor)
    }
}

//! The dependency graph as `cargo metadata` tells it, cut down to what the rules ask.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Command;

use serde_json::Value;

/// Packages and the arrows between them.
#[derive(Default)]
pub(crate) struct Graph {
    /// Name and version by package id.
    packages: BTreeMap<String, (String, String)>,
    /// Our own packages' ids by name.
    members: BTreeMap<String, String>,
    /// What a package needs to be built into a binary: normal dependencies, on any platform, by id.
    normal: BTreeMap<String, BTreeSet<String>>,
    /// What a package's tests and build script need besides.
    other: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// The graph of this workspace, with the features that the whole workspace asks for together.
    pub(crate) fn of_this_workspace() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--locked"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs this test, so it can be run");
        assert!(output.status.success(), "cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
        Self::parse(&serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON"))
    }

    /// Reads the document of `cargo metadata`, format version 1.
    pub(crate) fn parse(metadata: &Value) -> Self {
        let mut graph = Self::default();
        for package in list(&metadata["packages"]) {
            graph.packages.insert(text(&package["id"]), (text(&package["name"]), text(&package["version"])));
        }
        for id in list(&metadata["workspace_members"]).iter().map(text) {
            graph.members.insert(graph.packages[&id].0.clone(), id);
        }
        for node in list(&metadata["resolve"]["nodes"]) {
            for dependency in list(&node["deps"]) {
                for kind in list(&dependency["dep_kinds"]) {
                    // The kind of a normal dependency is null.
                    let arrows = if kind["kind"].is_null() { &mut graph.normal } else { &mut graph.other };
                    arrows.entry(text(&node["id"])).or_default().insert(text(&dependency["pkg"]));
                }
            }
        }
        graph
    }

    /// Our own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Which of our own packages `member` names directly as normal dependencies.
    pub(crate) fn arrows(&self, member: &str) -> BTreeSet<&str> {
        self.named(self.normal.get(self.id(member)))
    }

    /// Which of our own packages `member` names directly, its tests and build script included.
    pub(crate) fn arrows_of_any_kind(&self, member: &str) -> BTreeSet<&str> {
        let mut found = self.arrows(member);
        found.extend(self.named(self.other.get(self.id(member))));
        found
    }

    /// The name of every package that ends up in a binary with `member`, however deep.
    pub(crate) fn closure(&self, member: &str) -> BTreeSet<&str> {
        let start = self.id(member);
        let mut seen = BTreeSet::from([start]);
        let mut ahead = VecDeque::from([start]);
        while let Some(id) = ahead.pop_front() {
            let next = self.normal.get(id).into_iter().flatten().map(String::as_str);
            ahead.extend(next.filter(|next| seen.insert(next)));
        }
        seen.into_iter().filter(|id| *id != start).map(|id| self.packages[id].0.as_str()).collect()
    }

    /// The versions of a package that stand in the lock file.
    pub(crate) fn versions(&self, name: &str) -> Vec<&str> {
        self.packages.values().filter(|(n, _)| n == name).map(|(_, version)| version.as_str()).collect()
    }

    fn id(&self, member: &str) -> &str {
        self.members.get(member).unwrap_or_else(|| panic!("{member} is no package of this workspace"))
    }

    fn named<'a>(&'a self, ids: Option<&'a BTreeSet<String>>) -> BTreeSet<&'a str> {
        let ids = ids.into_iter().flatten();
        ids.map(|id| self.packages[id].0.as_str()).filter(|name| self.members.contains_key(*name)).collect()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("cargo metadata, format version 1, has a list here")
}

fn text(value: &Value) -> String {
    value.as_str().expect("cargo metadata, format version 1, has a string here").to_owned()
}

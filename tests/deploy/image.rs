//! What the Dockerfile says, held against the sources: no engine that could build it is at hand where tests run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{object, root};

/// The instructions of a Dockerfile, a stage each; continued lines are one.
fn stages() -> Vec<Vec<(String, String)>> {
    let text = std::fs::read_to_string(root().join("deploy/Dockerfile")).unwrap().replace("\\\n", " ");
    let mut stages = vec![Vec::new()];
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap();
        if word == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().unwrap().push((word.to_owned(), rest.trim().to_owned()));
    }
    stages
}

fn said<'a>(stage: &'a [(String, String)], word: &'a str) -> impl Iterator<Item = &'a str> {
    stage.iter().filter(move |(found, _)| found == word).map(|(_, rest)| rest.as_str())
}

#[test]
fn the_program_that_is_built_is_the_one_that_is_copied_and_run() {
    let stages = stages();
    let [before, building, image] = &stages[..] else { panic!("three parts: arguments, building, the image") };
    let built = said(building, "RUN").find(|line| line.contains("cargo build")).unwrap();
    assert!(built.contains("--release --locked --bin causeway"), "{built}");
    let copied: Vec<_> = said(image, "COPY").collect();
    assert_eq!(copied, ["--from=build /causeway /usr/local/bin/causeway"]);
    assert!(built.contains("-o /causeway target/release/causeway"), "{built}");
    assert!(built.contains("make pgo && cp target/pgo/causeway /causeway"), "{built}");
    assert_eq!(said(image, "ENTRYPOINT").next(), Some(r#"["/usr/local/bin/causeway"]"#));
    assert!(said(building, "FROM").next().unwrap().ends_with(" AS build"));
    // A compiler as new as the sources ask for.
    let version = |text: &str| text.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
    let rust = said(before, "ARG").find_map(|arg| arg.strip_prefix("RUST=")).unwrap();
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let needed = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"').to_owned();
    assert!(version(rust) >= version(&needed), "the image's Rust is {rust}, and the sources need {needed}");
}

/// The image's user is the one that the pod runs as, and its ports are the pod's.
#[test]
fn the_image_is_what_the_pod_expects() {
    let stages = stages();
    let image = stages.last().unwrap();
    // `nonroot` of distroless is user 65532.
    assert!(said(image, "FROM").next().unwrap().ends_with("distroless/cc-debian12:nonroot"));
    let pod = &object("DaemonSet", "causeway")["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    let exposed: BTreeSet<u64> =
        said(image, "EXPOSE").flat_map(|ports| ports.split(' ').map(|port| port.parse().unwrap()).collect::<Vec<_>>()).collect();
    let ports = pod["containers"][0]["ports"].as_array().unwrap();
    assert_eq!(exposed, ports.iter().map(|port| port["containerPort"].as_u64().unwrap()).collect());
    let command = said(image, "CMD").next().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(command).unwrap(), pod["containers"][0]["args"]);
}

/// What is left of the repository when `.dockerignore` has had its way is a whole workspace: every member is there, and what
/// the sources take in from beside them.
#[test]
fn what_the_build_is_given_is_enough() {
    let context = tempfile::TempDir::new().unwrap();
    let ignored: Vec<_> = std::fs::read_to_string(root().join(".dockerignore"))
        .unwrap()
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(PathBuf::from)
        .collect();
    let listed = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output().unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    assert!(!files.is_empty(), "the sources are not in a repository of git's: {}", String::from_utf8_lossy(&listed.stderr));
    for path in files.split_terminator('\0').map(Path::new).filter(|path| !ignored.iter().any(|i| path.starts_with(i))) {
        let to = context.path().join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        // Deleted and not committed yet.
        if root().join(path).exists() {
            std::fs::copy(root().join(path), to).unwrap();
        }
    }
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(context.path())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let mut programs = metadata["packages"].as_array().unwrap().iter().flat_map(|package| package["targets"].as_array().unwrap());
    assert!(programs.any(|target| target["name"] == "causeway" && target["kind"][0] == "bin"), "no package has the program");
    for (source, taken) in taken_in(&context.path().join("proxy/src")) {
        assert!(taken.exists(), "{} takes in {}, which the build is not given", source.display(), taken.display());
    }
}

/// The files that the program's sources include as text; those in `concat!` by their folder. Tests are built elsewhere.
fn taken_in(folder: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(taken_in(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split("include_str!(").skip(1) {
                let literal = part.split('"').nth(1).unwrap();
                all.push((path.clone(), path.parent().unwrap().join(literal)));
            }
        }
    }
    all
}

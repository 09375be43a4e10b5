//! `causeway demo` as people run it: the built binary, its edges as processes, requests over sockets.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    // What a developer has set for an edge of their own is not for these.
    command.arg("demo").args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The line with so many words of which these are the first, without the spaces between columns.
fn line(output: &str, beginning: &str) -> Vec<String> {
    let found = output.lines().find(|line| line.trim_start().starts_with(beginning));
    let found = found.unwrap_or_else(|| panic!("no line begins with {beginning:?} in:\n{output}"));
    found.trim_start()[beginning.len()..].split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_demo_shows_what_it_promises() {
    let Output { status, stdout, stderr } = demo(&["--once"]).output().unwrap();
    let (out, err) = (text(&stdout), text(&stderr));
    assert!(status.success(), "{status}\n{out}\n{err}");

    assert_eq!(line(&out, "client in Germany"), ["azure", "azure", "azure"]);
    assert_eq!(line(&out, "client in the United States"), ["aws", "aws", "aws"]);
    assert_eq!(line(&out, "client in Singapore"), ["google", "google", "google"]);
    assert_eq!(line(&out, "client in nobody knows where"), ["aws", "azure", "google"]);
    assert_eq!(out.matches("   ok ").count(), 8, "{out}");
    for (edge, other) in [("aws", "aws"), ("azure", "aws"), ("google", "google")] {
        let row = line(&out, &format!("azure dark      {edge}"));
        assert_eq!((&*row[1], &*row[2]), ("0", other), "{out}");
    }
    for said in ["none failed: failover happens within the request", "to another host meanwhile, none failed"] {
        assert!(out.contains(said), "{out}");
    }
    let widest = out.lines().map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|columns| columns <= 100), "{widest:?} columns\n{out}");
    assert!(!out.contains('\x1b'), "colours are for terminals");
    let folder = &line(&out, "files")[0];
    assert!(!Path::new(folder).exists(), "{folder} holds private keys, and is left behind");
}

#[test]
fn a_port_in_use_is_named_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let Output { status, stdout, stderr } = demo(&["--once", "--port-base", &(port - 11).to_string()]).output().unwrap();
    let (out, err) = (text(&stdout), text(&stderr));
    assert!(!status.success(), "{out}");
    // Another process may have one before it, so that this is the one which is named.
    let named = line(&err, "causeway: port")[0].trim_end_matches(',').parse::<u16>().unwrap();
    assert!((port - 11..port + 32).contains(&named), "{err}");
    assert!(named != port || err.contains("for http of the edge in azure"), "{err}");
    assert!(err.contains("cannot be had; choose another --port-base"), "{err}");
    assert!(!out.contains("edges"), "{out}");
}

#[test]
fn its_edges_end_with_it_however_it_ends() {
    for (signal, tidy) in [("INT", true), ("TERM", true), ("KILL", false)] {
        let mut running = Running::start();
        let folder = line(&running.seen, "files")[0].clone();
        let edges: Vec<SocketAddr> = line(&running.seen, "edges").iter().filter_map(|word| word.parse().ok()).collect();
        assert_eq!(edges.len(), 3, "{}", running.seen);
        for edge in &edges {
            TcpStream::connect(edge).unwrap();
        }
        running.signal(signal);
        let ended = running.child.wait().unwrap();
        assert!(!ended.success(), "it did not come to its end: {ended}");
        for edge in edges {
            wait_until(signal, || TcpStream::connect(edge).is_err());
        }
        assert_eq!(Path::new(&folder).exists(), !tidy, "{signal}");
        // What a killed process leaves, somebody else has to take away.
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// A demo whose edges are up.
struct Running {
    child: Child,
    seen: String,
    /// Kept open: a demo that nobody listens to goes on, but this is not what is tested.
    _output: BufReader<ChildStdout>,
}

impl Running {
    fn start() -> Self {
        let mut child = demo(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut seen = String::new();
        while !seen.contains("\n   edges ") || !seen.ends_with('\n') {
            if output.read_line(&mut seen).unwrap() == 0 {
                let mut error = String::new();
                child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
                panic!("it ended before its edges were up:\n{seen}\n{error}");
            }
        }
        Self { child, seen, _output: output }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.child.id())]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !met() {
        assert!(Instant::now() < deadline, "an edge outlived its demo, which was ended by {what}");
        std::thread::yield_now();
    }
}

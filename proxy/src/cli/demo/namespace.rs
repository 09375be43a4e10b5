//! A network of the demo's own, for `--kube`: API servers refuse pods in loopback, and nobody has a network to lend.
//!
//! In a network namespace all of 10.64.0.0/10 is this machine's. It takes two programs that every Linux distribution has, and
//! goes with the last process in it.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Says that this process is in it, and how it came there.
const INSIDE: &str = "CAUSEWAY_DEMO_NAMESPACE";

const SETUP: &str =
    "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && ip route add local 10.64.0.0/10 dev lo && exec \"$0\" \"$@\"";

/// Ways to get in: as root, and as somebody who is root in a user namespace around it.
const WAYS: [(&str, &[&str]); 2] = [("root", &["--net"]), ("user", &["--map-root-user", "--net"])];

/// Begins this program anew inside, in place of this process; returns if it is there already.
pub(super) fn enter() -> anyhow::Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let program = std::env::current_exe().context("finding this program, to begin it anew")?;
    for (way, unshare) in WAYS {
        let tried = Command::new("unshare").args(unshare).args(["sh", "-c", SETUP, "true"]).stderr(Stdio::null()).status();
        if tried.is_ok_and(|status| status.success()) {
            let mut inside = Command::new("unshare");
            inside.args(unshare).args(["sh", "-c", SETUP]).arg(program).args(std::env::args_os().skip(1)).env(INSIDE, way);
            return Err(inside.exec()).context("entering a network namespace");
        }
    }
    bail!(
        "no network namespace can be made: run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone), \
         with the programs `unshare` (util-linux) and `ip` (iproute2) at hand"
    )
}

/// The command that leads a shell inside.
pub(super) fn how_to_enter() -> String {
    let user = std::env::var(INSIDE).is_ok_and(|way| way == "user");
    let (before, user) = if user { ("", " --user --preserve-credentials") } else { ("sudo ", "") };
    format!("{before}nsenter --target {} --net{user}", std::process::id())
}

//! A network namespace of a process's own, with pods' addresses on `lo`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};

/// Says that this process is in such a namespace.
const INSIDE: &str = "CAUSEWAY_TEST_NETWORK";

/// All of it is this machine's in there.
pub(crate) const PODS: &str = "10.64.0.0/10";

/// What makes it so.
const SETUP: &str =
    "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && ip route add local 10.64.0.0/10 dev lo && exec \"$0\" \"$@\"";

/// As [`SETUP`], with a place for the files that a pod gets.
const POD: &str = "PATH=$PATH:/usr/sbin:/sbin; mount -t tmpfs none /run && mkdir -p /var/run/secrets/kubernetes.io/serviceaccount && \
                   ip link set lo up && ip route add local 10.64.0.0/10 dev lo && exec \"$0\" \"$@\"";

/// A program, run in a new namespace; where none can be made, run as it is.
pub(crate) fn command(program: &Path) -> Command {
    unshared(&["--net"], SETUP, program).unwrap_or_else(|| {
        println!("no network namespace can be made here; pods get this machine's own address");
        Command::new(program)
    })
}

/// A program, run with a network and files of its own, as in a pod.
pub(crate) fn pod(program: &Path) -> Option<Command> {
    unshared(&["--net", "--mount"], POD, program)
}

fn unshared(what: &[&str], setup: &str, program: &Path) -> Option<Command> {
    // Whoever is not root needs a user namespace around it.
    [&[][..], &["--map-root-user"][..]].into_iter().find_map(|user| {
        let tried =
            Command::new("unshare").args(user).args(what).args(["sh", "-c", setup, "true"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success()).then(|| {
            let mut command = Command::new("unshare");
            command.args(user).args(what).args(["sh", "-c", setup]).arg(program).env(INSIDE, "1");
            command
        })
    })
}

/// Where the pods of a cluster are, by its position.
pub(crate) fn pods_of(position: usize) -> IpAddr {
    if std::env::var_os(INSIDE).is_some() {
        return Ipv4Addr::new(10, 64 + position as u8, 0, 1).into();
    }
    let all = if_addrs::get_if_addrs().unwrap().into_iter().map(|interface| interface.ip());
    let mut own = all.filter(|ip| matches!(ip, IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_link_local()));
    own.next()
        .expect("an address that is not loopback; run as root, or where user namespaces are allowed, with `ip` and `unshare`")
}

/// The networks that edges may dial.
pub(crate) fn pod_networks() -> String {
    if std::env::var_os(INSIDE).is_some() { PODS.into() } else { format!("{}/32", pods_of(0)) }
}

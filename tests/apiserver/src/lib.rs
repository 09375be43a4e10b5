//! A stand-in for the Kubernetes API server, over real HTTPS, for tests and demonstrations.
//!
//! ```text
//! socket --Freezable--> TLS --> HTTP/1.1 or 2 --> Server: faults, auth, path --> Store <-- Watching
//! ```
//!
//! It is typed by nothing but paths, keeps what it is given, and does what the real one does as far as clients can tell:
//! lists in pages, watches with bookmarks and 410, streamed lists, selectors, patches, tokens, 401 and 403, the checks of
//! endpoint addresses. And it misbehaves on command, which is what it is for.
//!
//! What it does not do: schemas, defaults, admission, owner references, finalizers, conflicts of field managers.

mod access;
mod auth;
mod cluster;
mod documents;
pub mod fakes;
mod faults;
mod patch;
mod real;
mod resources;
mod selector;
mod server;
mod status;
mod store;
mod tls;
mod watching;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub use access::{Access, documents};
pub use cluster::{ASSETS, Cluster, KUBECONFIGS, Kind, Server};
pub use faults::Fault;
pub use real::RealServer;
pub use resources::Resource;
pub use server::Seen;

use faults::{Freezable, Order};
use selector::Selector;
use server::Server as Inner;
use tls::{Pems, Tls};
use watching::Command;

/// The token that every server accepts from the start.
pub const TOKEN: &str = "stand-in-token";

/// How a server begins.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 lets the kernel choose.
    pub bind: SocketAddr,
    /// The version it says it has.
    pub version: (u32, u32),
    /// Whether it streams lists (KEP-3157).
    pub streams: bool,
    /// How often watches get a bookmark.
    pub bookmarks: Duration,
    /// By how many seconds its clock is ahead; negative: behind.
    pub ahead: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            version: (1, 34),
            streams: true,
            bookmarks: Duration::from_mins(1),
            ahead: 0,
        }
    }
}

/// A running server; it stops when it is dropped.
pub struct ApiServer {
    server: Arc<Inner>,
    tls: Arc<Tls>,
    address: SocketAddr,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl ApiServer {
    /// Starts one. Must be called within a runtime.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let pems = Pems::make(options.bind.ip())?;
        Self::start_with(options, pems).await
    }

    async fn start_with(options: Options, pems: Pems) -> anyhow::Result<Self> {
        let server = Arc::new(Inner::new(&options));
        server.auth().admit(TOKEN, "system:serviceaccount:causeway:reader");
        let tls = Arc::new(Tls::of(options.bind.ip(), pems)?);
        let listener = TcpListener::bind(options.bind).await.with_context(|| format!("cannot listen on {}", options.bind))?;
        let address = listener.local_addr()?;
        let started = Self { server, tls, address, accepting: Mutex::new(None) };
        started.accept(listener);
        Ok(started)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority that its certificate comes from, PEM.
    pub fn authority(&self) -> String {
        self.tls.authority()
    }

    /// A kubeconfig with `token`, for a cluster and a context called `name`.
    pub fn kubeconfig(&self, name: &str, token: &str) -> String {
        kubeconfig(self.address, &self.authority(), name, token)
    }

    /// Writes that kubeconfig, with the token that is accepted from the start.
    pub fn write_kubeconfig(&self, name: &str, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, self.kubeconfig(name, TOKEN)).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Creates or replaces every object of a YAML text with any number of documents.
    pub fn apply(&self, yaml: &str) -> anyhow::Result<()> {
        documents(yaml)?.into_iter().try_for_each(|object| self.put(object))
    }

    /// Creates or replaces an object; a `List` stands for its items.
    pub fn put(&self, value: Value) -> anyhow::Result<()> {
        if let Some(items) = value.get("items").and_then(Value::as_array) {
            return items.iter().try_for_each(|item| self.put(item.clone()));
        }
        let (api_version, kind) = (value["apiVersion"].as_str().unwrap_or_default(), value["kind"].as_str().unwrap_or_default());
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        {
            let mut store = self.server.store();
            let resource =
                store.kind(api_version, kind).with_context(|| format!("there is no kind {api_version} {kind} here"))?;
            let namespace = value["metadata"]["namespace"].as_str().unwrap_or("default");
            let key = (if resource.namespaced { namespace.to_owned() } else { String::new() }, name);
            let done = match store.get(&resource, &key) {
                Some(_) => store.update(&resource, &key, value, false),
                None => store.create(&resource, value, false),
            };
            done.map_err(|status| anyhow::anyhow!("{}", status.json()["message"]))?;
        }
        self.server.published();
        Ok(())
    }

    /// Takes endpoints in loopback from now on, which the real server refuses: for tests whose pods can be nowhere else.
    pub fn allow_loopback_endpoints(&self) {
        self.server.store().loopback = true;
    }

    /// Deletes an object: `delete("services", "shop", "web")`.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) -> anyhow::Result<()> {
        {
            let mut store = self.server.store();
            let resource = store.resources.iter().find(|r| r.plural == plural).cloned();
            let resource = resource.with_context(|| format!("there are no {plural} here"))?;
            let gone = store.delete(&resource, &(namespace.to_owned(), name.to_owned()), false);
            gone.map_err(|status| anyhow::anyhow!("{}", status.json()["message"]))?;
        }
        self.server.published();
        Ok(())
    }

    /// The objects of a kind.
    pub fn objects(&self, plural: &str) -> Vec<Value> {
        let store = self.server.store();
        let Some(resource) = store.resources.iter().find(|r| r.plural == plural).cloned() else { return Vec::new() };
        store.select(&resource, None, &Selector::default()).iter().map(|stored| stored.value.clone()).collect()
    }

    fn all_objects(&self) -> Vec<Value> {
        let store = self.server.store();
        let all = store.resources.iter().flat_map(|resource| store.select(resource, None, &Selector::default()));
        all.map(|stored| stored.value.clone()).collect()
    }

    fn revision(&self) -> u64 {
        self.server.store().revision
    }

    /// Goes on from a revision, and remembers nothing before it.
    fn forget_before(&self, revision: u64) {
        let mut store = self.server.store();
        store.revision = store.revision.max(revision);
        store.compact();
    }

    /// Takes a kind away, with its objects, as if its definition were not installed.
    pub fn uninstall(&self, plural: &str) {
        self.server.store().resources.retain(|resource| resource.plural != plural);
    }

    /// Adds a kind.
    pub fn install(&self, resource: Resource) {
        self.server.store().resources.push(Arc::new(resource));
    }

    /// Accepts a token, as this user's.
    pub fn admit(&self, token: &str, user: &str) {
        self.server.auth().admit(token, user);
    }

    /// Accepts a token no more.
    pub fn revoke(&self, token: &str) {
        self.server.auth().revoke(token);
    }

    /// Refuses verbs (`*`: all) on a kind.
    pub fn deny(&self, plural: &str, verbs: &[&str]) {
        self.server.auth().deny(plural, verbs);
    }

    /// Allows everything on a kind again.
    pub fn allow(&self, plural: &str) {
        self.server.auth().allow(plural);
    }

    /// Lets only these namespaces be read, and nothing cluster-wide; `None`: everything.
    pub fn only_namespaces(&self, namespaces: Option<&[&str]>) {
        self.server.auth().only_namespaces(namespaces);
    }

    /// Forgets the history: older watches and lists in pages are gone.
    pub fn compact(&self) {
        self.server.store().compact();
    }

    /// Forgets the history up to now: who knows the newest revision can go on from it, and nobody else.
    pub fn forget_history(&self) {
        self.server.store().forget();
    }

    /// The next `times` requests whose path contains `path` get this fault.
    pub fn order(&self, path: &str, fault: Fault, times: usize) {
        self.server.orders().push(Order { path: path.into(), fault, times });
    }

    /// Forgets every ordered fault.
    pub fn no_faults(&self) {
        self.server.orders().clear();
    }

    /// Ends every open watch as a server that shuts down does.
    pub fn close_watches(&self) {
        self.tell(Command::Close);
    }

    /// Breaks every open watch off in the middle of an event.
    pub fn cut_watches(&self) {
        self.tell(Command::Cut);
    }

    /// Lets every open watch fall silent, open as it is, until another command.
    pub fn stall_watches(&self) {
        self.tell(Command::Stall);
    }

    /// Sends every open watch a bookmark.
    pub fn bookmark(&self) {
        self.tell(Command::Bookmark);
    }

    /// Tells every open watch that its revision is gone.
    pub fn expire_watches(&self) {
        self.tell(Command::Gone);
    }

    /// Freezes all connections, or thaws them: nothing is read, written or closed.
    pub fn freeze(&self, frozen: bool) {
        self.server.freezer.set(frozen);
    }

    /// A new authority and certificate for connections from now on.
    pub fn renew_certificate(&self) -> anyhow::Result<()> {
        self.tls.renew()
    }

    /// Stops listening and breaks every connection; the objects stay.
    pub fn stop(&self) {
        if let Some(accepting) = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            accepting.abort();
        }
    }

    /// Listens again, on the same port.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop();
        // The old listener's task ends at its next turn, and the port is free then.
        for _ in 0..1000 {
            let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            if socket.bind(self.address).is_ok()
                && let Ok(listener) = socket.listen(1024)
            {
                self.accept(listener);
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        bail!("{} is still taken", self.address)
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.server.seen().clone()
    }

    /// How many watches are open.
    pub fn open_watches(&self) -> usize {
        self.server.open_watches.load(Ordering::SeqCst)
    }

    /// Waits until something is so. It is asked again after every request and every beginning or end of a watch.
    pub async fn until(&self, mut so: impl FnMut(&Self) -> bool) {
        loop {
            let happened = self.server.happened.notified();
            tokio::pin!(happened);
            happened.as_mut().enable();
            if so(self) {
                return;
            }
            happened.await;
        }
    }

    fn tell(&self, command: Command) {
        self.server.command.send_modify(|(number, now)| {
            *number += 1;
            *now = command;
        });
    }

    fn accept(&self, listener: TcpListener) {
        let (server, tls) = (self.server.clone(), self.tls.clone());
        let task = tokio::spawn(async move {
            // Dropped with this task, and every connection with it.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let Ok((socket, _)) = accepted {
                            connections.spawn(serve(server.clone(), tls.clone(), socket));
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        *self.accepting.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A kubeconfig with a cluster and a context called `name`.
fn kubeconfig(address: SocketAddr, authority: &str, name: &str, token: &str) -> String {
    use base64::Engine;
    let authority = base64::engine::general_purpose::STANDARD.encode(authority);
    let value = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{"name": name, "cluster": {
            "server": format!("https://{address}"), "certificate-authority-data": authority,
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "users": [{"name": name, "user": {"token": token}}],
    });
    value.to_string()
}

async fn serve(server: Arc<Inner>, tls: Arc<Tls>, socket: TcpStream) {
    let _ = socket.set_nodelay(true);
    let io = Freezable { io: socket, freezer: server.freezer.clone() };
    // A client that does not trust the certificate ends the handshake, and that is its right.
    let Ok(stream) = TlsAcceptor::from(tls.config()).accept(io).await else { return };
    let answer = service_fn(move |request| server.clone().answer(request));
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
}

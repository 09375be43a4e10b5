//! `listen`: where an edge listens.

use std::net::SocketAddr;

use super::Check;
use super::values::{clash, is_everybody, network, socket};
use crate::error::FaultKind;
use crate::model::{ClientListener, Listen, Plain, PlainMode, ProxyProtocol, ProxyProtocolMode};
use crate::raw::{
    At, RawBind, RawListen, RawListener, RawMaybe, RawPlainListener, RawPlainMode, RawProxyProtocol, RawProxyProtocolMode,
};
use crate::tree::NodeId;

/// Addresses of one listener; each is a socket, and each is compared with each.
const MAX_ADDRESSES: usize = 64;

/// The addresses of all listeners so far, to find two that want the same.
#[derive(Default)]
struct Bound {
    sockets: Vec<(&'static str, Option<NodeId>, SocketAddr)>,
}

/// What both listeners for clients have.
struct Clients<'r> {
    bind: &'r At<RawBind>,
    proxies: &'r At<RawProxyProtocol>,
    forwarded_for: &'r At<Vec<At<String>>>,
}

impl Check<'_> {
    /// `peers`: whether the fleet has certificates for edges to know each other by.
    pub(super) fn listen(&self, raw: &At<RawListen>, peers: bool) -> Listen {
        let absent = RawListen::default();
        let raw = raw.get().unwrap_or(&absent);
        let mut bound = Bound::default();
        let (http, plain) = match raw.http.get() {
            Some(RawMaybe::Off(_)) => (None, Plain::default()),
            Some(RawMaybe::On(http)) => {
                let clients = Clients { bind: &http.bind, proxies: &http.proxy_protocol, forwarded_for: &http.forwarded_for };
                (Some(self.client_listener(Some(clients), "http", "0.0.0.0:80", &mut bound)), self.plain(http))
            }
            None => (Some(self.client_listener(None, "http", "0.0.0.0:80", &mut bound)), Plain::default()),
        };
        let clients = raw.https.get().map(|https| Clients {
            bind: &https.bind,
            proxies: &https.proxy_protocol,
            forwarded_for: &https.forwarded_for,
        });
        let https = self.client_listener(clients, "https", "0.0.0.0:443", &mut bound);
        let peer = match raw.peer.get() {
            Some(RawMaybe::Off(_)) => None,
            None if !peers => None,
            None => Some(self.bind(None, "peer", "0.0.0.0:8444", &mut bound)),
            Some(RawMaybe::On(RawListener { bind })) => {
                if !peers {
                    self.report.fault(
                        raw.peer.node(),
                        FaultKind::Conflict,
                        "a peer listener without `fleet.tls` could not tell an edge from anybody else",
                        "give `fleet.tls`, or remove the listener",
                    );
                }
                Some(self.bind(Some(bind), "peer", "0.0.0.0:8444", &mut bound))
            }
        };
        let health = self.bind(raw.health.get().map(|l| &l.bind), "health", "0.0.0.0:8081", &mut bound);
        let admin = self.bind(raw.admin.get().map(|l| &l.bind), "admin", "127.0.0.1:9900", &mut bound);
        if let Some(at) = raw.admin.get().map(|l| &l.bind)
            && admin.iter().any(|a| !a.ip().is_loopback())
        {
            self.report.warn(
                at.node(),
                "whoever reaches this address can read every route and metric",
                "bind it to 127.0.0.1, or keep others away with a network policy",
            );
        }
        Listen { http, plain, https, peer, health, admin }
    }

    fn plain(&self, raw: &RawPlainListener) -> Plain {
        let mode = match raw.mode.get() {
            None | Some(RawPlainMode::Redirect) => PlainMode::Redirect,
            Some(RawPlainMode::Proxy) => PlainMode::Proxy,
        };
        let h2c = raw.h2c.get().copied().unwrap_or_default();
        if h2c && mode == PlainMode::Redirect {
            self.report.fault(
                raw.h2c.node(),
                FaultKind::Conflict,
                "HTTP/2 without TLS is for clients that are served here, and this listener sends them to https",
                "set `mode: proxy`, or remove `h2c`",
            );
        }
        Plain { mode, h2c }
    }

    fn client_listener(&self, raw: Option<Clients<'_>>, name: &'static str, default: &str, bound: &mut Bound) -> ClientListener {
        let bind = self.bind(raw.as_ref().map(|l| l.bind), name, default, bound);
        let Some(raw) = raw else {
            return ClientListener { bind, proxy_protocol: ProxyProtocol::default(), forwarded_for: vec![] };
        };
        let forwarded_for = self.list(raw.forwarded_for, network).unwrap_or_default();
        if forwarded_for.iter().any(is_everybody) {
            self.warn_everybody(raw.forwarded_for.node());
        }
        ClientListener { bind, proxy_protocol: self.proxy_protocol(raw.proxies), forwarded_for }
    }

    fn proxy_protocol(&self, raw: &At<RawProxyProtocol>) -> ProxyProtocol {
        let Some((at, raw)) = raw.given() else { return ProxyProtocol::default() };
        let mode = match raw.mode.get() {
            None | Some(RawProxyProtocolMode::Off) => ProxyProtocolMode::Off,
            Some(RawProxyProtocolMode::Optional) => ProxyProtocolMode::Optional,
            Some(RawProxyProtocolMode::Required) => ProxyProtocolMode::Required,
        };
        let names_somebody =
            raw.from.get().is_some_and(|from| !from.is_empty()) || (raw.from.is_given() && raw.from.get().is_none());
        if mode != ProxyProtocolMode::Off && !names_somebody {
            self.report.fault(
                raw.from.node_or(at),
                FaultKind::Conflict,
                "`from` names nobody, so every PROXY protocol header would be refused",
                "name the networks of the load balancers in `from`, or set the mode to `off`",
            );
        }
        let from = self.list(&raw.from, network).unwrap_or_default();
        if mode == ProxyProtocolMode::Off && !from.is_empty() {
            self.report.warn(raw.from.node(), "`from` has no effect while the mode is `off`", "set `mode`, or remove `from`");
        }
        if mode != ProxyProtocolMode::Off && from.iter().any(is_everybody) {
            self.warn_everybody(raw.from.node());
        }
        ProxyProtocol { mode, from }
    }

    fn warn_everybody(&self, at: NodeId) {
        self.report.warn(
            at,
            "everybody is in this list, so every client can claim any address, and with it any location",
            "name only the networks of your own proxies and load balancers",
        );
    }

    /// The addresses of one listener; those of `default` where none is given.
    fn bind(&self, raw: Option<&At<RawBind>>, name: &'static str, default: &str, bound: &mut Bound) -> Vec<SocketAddr> {
        let Some((at, bind)) = raw.and_then(At::given) else {
            // A faulty one is reported already; the default must not clash in its place.
            let faulty = raw.is_some_and(At::is_given);
            let default = default.parse().expect("defaults are addresses");
            if !faulty {
                self.claim(name, None, default, bound);
            }
            return vec![default];
        };
        let texts = match bind {
            RawBind::One(text) => std::slice::from_ref(text),
            RawBind::Several(texts) => texts.as_slice(),
        };
        if texts.is_empty() {
            self.report.fault(at, FaultKind::BadValue, "this list has no address", "name one, or remove `bind` for the default");
        }
        if texts.len() > MAX_ADDRESSES {
            let message = format!("this list has {} addresses, and a listener at most {MAX_ADDRESSES}", texts.len());
            self.report.fault(at, FaultKind::TooLarge, message, "bind `0.0.0.0` and `[::]` to listen on every address");
        }
        let mut sockets = Vec::new();
        for text in texts.iter().take(MAX_ADDRESSES) {
            if let Some(socket) = self.value(text, socket) {
                self.claim(name, Some(text.node()), socket, bound);
                sockets.push(socket);
            }
        }
        sockets
    }

    fn claim(&self, name: &'static str, at: Option<NodeId>, socket: SocketAddr, bound: &mut Bound) {
        let other = bound.sockets.iter().find(|(_, _, other)| clash(*other, socket));
        if let Some((other_name, other_at, other)) = other {
            // Defaults do not clash with each other, so one of the two was written down; the later one is shown.
            if let Some(shown) = at.or(*other_at) {
                let what =
                    if at.is_some() { format!("`{socket}`") } else { format!("the default of listen.{name}, `{socket}`,") };
                self.report.fault(
                    shown,
                    FaultKind::Conflict,
                    format!("{what} and listen.{other_name} at `{other}` cannot listen at once"),
                    "give each listener an address and port of its own",
                );
            }
        }
        bound.sockets.push((name, at, socket));
    }
}

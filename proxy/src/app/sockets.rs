//! The listening sockets of an edge: bound here, or taken from the process before this one.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use causeway_config::Config;

use super::Addresses;
use crate::handover::{self, Listening};
use crate::listen::bind;
use crate::metrics::Listener;

/// Bound and not yet served.
pub(super) struct Sockets(Vec<Bound>);

struct Bound {
    listener: Listener,
    /// As the configuration has it.
    bind: SocketAddr,
    socket: TcpListener,
}

impl Sockets {
    /// Takes every listener's socket from `before`, and binds what is not there; all, or none.
    pub(super) fn bind(config: &Config, before: &mut handover::Sockets) -> anyhow::Result<Self> {
        let listen = &config.listen;
        let wanted: [(Listener, &[SocketAddr]); 5] = [
            (Listener::Http, listen.http.as_ref().map_or(&[], |l| &l.bind)),
            (Listener::Https, &listen.https.bind),
            (Listener::Peer, listen.peer.as_deref().unwrap_or_default()),
            (Listener::Health, &listen.health),
            (Listener::Admin, &listen.admin),
        ];
        let mut sockets = Vec::new();
        for (listener, addresses) in wanted {
            for &address in addresses {
                let socket = match before.take(listener.as_str(), address) {
                    Some(socket) => socket,
                    None => bind(listener.as_str(), address, addresses)?.into_std()?,
                };
                sockets.push(Bound { listener, bind: address, socket });
            }
        }
        Ok(Self(sockets))
    }

    /// Where they listen: the kernel's choice in place of port 0.
    pub(super) fn addresses(&self) -> std::io::Result<Addresses> {
        let of = |listener: Listener| {
            self.0.iter().filter(|s| s.listener == listener).map(|s| s.socket.local_addr()).collect::<std::io::Result<Vec<_>>>()
        };
        Ok(Addresses {
            http: of(Listener::Http)?,
            https: of(Listener::Https)?,
            peer: of(Listener::Peer)?,
            health: of(Listener::Health)?,
            admin: of(Listener::Admin)?,
        })
    }

    /// Second handles of all of them, for a successor.
    pub(super) fn copies(&self) -> std::io::Result<Vec<(Listening, Arc<TcpListener>)>> {
        let copy = |s: &Bound| {
            Ok((Listening { listener: s.listener.as_str().to_owned(), bind: s.bind }, Arc::new(s.socket.try_clone()?)))
        };
        self.0.iter().map(copy).collect()
    }

    /// Those of one listener, to be served.
    pub(super) fn of(&mut self, listener: Listener) -> Vec<TcpListener> {
        let all = std::mem::take(&mut self.0);
        let (these, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|s| s.listener == listener);
        self.0 = rest;
        these.into_iter().map(|s| s.socket).collect()
    }
}

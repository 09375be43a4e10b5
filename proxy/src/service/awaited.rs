//! What ends a try whose connection stands: who watches what is sent, and what is awaited.

use std::time::Duration;

use causeway_core::Target;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;

use super::dial::Handle;
use super::peer::Carriage;
use super::stall::{self, Watched};
use super::{Proxy, carriage, doubt};
use crate::ctx::Ctx;
use crate::listen::Role;

impl Proxy {
    /// The making of a connection is a round trip, where there is no TLS on top: how far pods are that are dialled directly.
    pub(super) fn measure(&self, ctx: &Ctx) {
        let Some(current) = &ctx.current else { return };
        let candidate = &current.candidate;
        if candidate.target == Target::Pod && !candidate.protocol.is_tls() {
            let snapshot = self.shared.snapshot.load();
            let cluster = snapshot.clusters.iter().position(|info| info.id == candidate.cluster_id);
            if let Some(distance) = cluster.and_then(|cluster| snapshot.distances.get(cluster)) {
                distance.observe(self.shared.clock.now().since(current.attempt.started()));
            }
        }
    }

    /// Watches a try at a pod. `handle` is that of its connection.
    pub(super) fn watch_pod(&self, session: &mut Session, handle: Option<Handle>, peer: &HttpPeer, ctx: &mut Ctx) {
        let Some(current) = &mut ctx.current else { return };
        let h2 = peer.options.alpn.get_min_http_version() == 2;
        if h2 {
            let (address, patience) = (current.candidate.address, ctx.limits.connect_timeout);
            let silence = current.attempt.silence(self.shared.clock.now());
            let knock = doubt::Knock { address, tls: current.candidate.protocol.is_tls(), patience };
            let ear = current.attempt.ear();
            current.h2.clone_from(&handle);
            current.doubt = handle.clone().map(|handle| doubt::watch(handle, knock, silence, ear));
        }
        // Of HTTP/1.1 too.
        let alone = peer.options.max_h2_streams == 1;
        if carriage(session) == Carriage::Exchange && alone {
            current.handle.clone_from(&handle);
            if !session.is_body_done() {
                current.attempt.sending();
                let pause = ctx.pause.filter(|_| h2);
                self.watch_body(session, handle, pause, ctx);
            }
        }
    }

    /// Watches a body that is still being sent. `handle` is that of a connection which carries nothing else; `pause`, how long the
    /// response's body may say nothing.
    pub(super) fn watch_body(&self, session: &mut Session, handle: Option<Handle>, pause: Option<Duration>, ctx: &mut Ctx) {
        let Some(connection) = ctx.connection.as_ref().filter(|_| carriage(session) == Carriage::Exchange) else { return };
        if session.is_body_done() || ctx.is_ping() {
            return;
        }
        let watched = Watched {
            // HTTP/1.1 has a timeout for each read, and what another edge sends it watches itself.
            client: session.is_http2() && matches!(connection.role, Role::Client),
            ended: handle.is_some(),
            pause,
        };
        let patience = connection.timeouts.body;
        let pieces = stall::watch(patience, watched, self.unfinished(session, ctx));
        if let (Some(handle), Some(current)) = (handle, &mut ctx.current) {
            current.deadline = Some(handle.end_when(pieces.stuck(patience)));
        }
    }
}

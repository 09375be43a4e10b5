//! Lanes: connections to peer addresses that are kept, and who is at their end.
//!
//! The engine pools connections by address and group; a lane is one such pool, which holds one
//! connection until more requests are on their way than it takes. Several lanes to an address let a load balancer spread
//! them over its edges, and keep one lost packet from holding up everything.

use std::collections::{BTreeSet, HashMap};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use causeway_config::ClusterId;
use causeway_core::link::InstanceId;
use pingora::connectors::L4Connect;
use pingora::http::ResponseHeader;
use pingora::protocols::l4::ext::get_tcp_info;
use pingora::protocols::l4::socket::SocketAddr as EngineAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{Digest, GetProxyDigest};
use pingora::{ErrorType, OrErr, Result};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::connect::{connect, hold_little};

/// How many lanes there are to each address.
pub const LANES: u8 = 4;

/// How often the engine asks on each connection whether the other edge is there (PING, RFC 9113 section 6.7), whatever else is on it.
pub const ASKED_EVERY: Duration = Duration::from_secs(1);

/// So long without anything, and the connection leads nowhere: as long as it takes until a link is down.
const DEAF: Duration = Duration::from_secs(3);

/// A connection that is kept to one address.
pub struct Lane {
    /// The cluster whose edges are there.
    pub cluster: ClusterId,
    /// Where.
    pub address: SocketAddr,
    /// Which of the lanes there.
    pub index: u8,
    instance: ArcSwapOption<InstanceId>,
    /// Who was there before, and has been succeeded there.
    before: ArcSwapOption<InstanceId>,
    /// Whether somebody else has answered than was thought to be there.
    stranger: AtomicBool,
    /// Why the last connection failed.
    fault: Mutex<Option<String>>,
    /// Whether a request on it hears nothing.
    doubted: AtomicBool,
    was_asked: Arc<Notify>,
    lives: AtomicBool,
    /// The connections that were made for it and may still stand.
    opened: Mutex<Vec<Weak<Opened>>>,
}

/// A connection of a lane; lives as long as it.
#[derive(Debug)]
pub struct Opened {
    /// A second handle of the socket.
    socket: TcpStream,
    /// The trust under which it was made.
    group: u64,
    /// Whether nobody asks on it, since it is for an upgrade.
    upgrade: bool,
    /// What the edge at its end has shown, once the handshake is over.
    certificate: OnceLock<Shown>,
}

/// A certificate, as far as the engine tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its serial number.
    pub serial: Vec<u8>,
    /// Its SHA-256.
    pub digest: Vec<u8>,
}

impl Opened {
    /// The connection that a request goes by, as it was made by a [`LaneDialer`].
    pub fn of(digest: Option<&Digest>) -> Option<&Arc<Self>> {
        digest?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref::<Arc<Self>>()
    }

    /// Notes what was shown on it.
    pub fn shown(&self, certificate: Shown) {
        // It is shown once a connection.
        let _ = self.certificate.set(certificate);
    }

    fn end(&self) {
        // One that has ended by itself needs no more.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Whether nothing has come on it for so long, though something was sent since. The kernel tells, so that it makes no difference
    /// whether this process was late itself. Where much is being sent slowly the question waits its turn, and what is acknowledged
    /// moves. A handshake has a limit of its own. One that cannot be asked has ended.
    fn is_deaf(&self, limit: Duration) -> bool {
        let Ok(info) = get_tcp_info(self.socket.as_raw_fd()) else { return false };
        let (sent, received) = (info.tcpi_last_data_sent, info.tcpi_last_data_recv);
        let long = |ms: u32| Duration::from_millis(ms.into()) >= limit;
        let moves = info.tcpi_unacked > 0 && !long(info.tcpi_last_ack_recv);
        let made = self.certificate.get().is_some();
        made && !self.upgrade && sent < received && long(received) && !moves
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}#{}", self.cluster, self.address, self.index)
    }
}

impl Lane {
    /// A lane on which nobody has answered yet.
    pub fn new(cluster: ClusterId, address: SocketAddr, index: u8) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            address,
            index,
            instance: ArcSwapOption::empty(),
            before: ArcSwapOption::empty(),
            stranger: AtomicBool::new(false),
            fault: Mutex::default(),
            doubted: AtomicBool::new(false),
            was_asked: Arc::default(),
            lives: AtomicBool::new(false),
            opened: Mutex::default(),
        })
    }

    /// Who is at its end, as far as is known.
    pub fn instance(&self) -> Option<Arc<InstanceId>> {
        self.instance.load_full()
    }

    /// Notes who answered, or that nobody is known to any more. Whether that is new.
    pub fn seen(&self, instance: Option<&InstanceId>) -> bool {
        self.stranger.store(false, Relaxed);
        let before = self.instance();
        let new = before.as_deref() != instance;
        if new {
            self.before.store(before.filter(|_| instance.is_some()));
            self.instance.store(instance.cloned().map(Arc::new));
        }
        new
    }

    /// Notes that somebody else has answered. Until a ping has introduced them the lane is used as before: what is at its end
    /// serves, and is an edge of the same cluster.
    pub fn note_stranger(&self) {
        self.stranger.store(true, Relaxed);
    }

    /// Whether somebody has to be introduced.
    pub fn has_stranger(&self) -> bool {
        self.stranger.load(Relaxed)
    }

    /// Notes why it does not work, or that it does.
    pub fn note_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Why it does not work.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A request on it hears nothing: it is to be asked whether it still leads anywhere. Waits until it was.
    pub fn doubt(self: &Arc<Self>) -> OwnedNotified {
        // From now on, whether or not it is waited for yet.
        let asked = Arc::clone(&self.was_asked).notified_owned();
        self.doubted.store(true, Relaxed);
        asked
    }

    /// Whether that was said.
    pub fn doubted(&self) -> bool {
        self.doubted.load(Relaxed)
    }

    /// It was asked; whether that was since it was doubted. Call [`tell`](Self::tell) then.
    pub fn asked(&self) -> bool {
        self.doubted.swap(false, Relaxed)
    }

    /// Tells those who doubt whether it answered.
    pub fn tell(&self, lives: bool) {
        self.lives.store(lives, Relaxed);
        self.was_asked.notify_waiters();
    }

    /// Whether it answered when it was asked last.
    pub fn lives(&self) -> bool {
        self.lives.load(Relaxed)
    }

    /// Ends its connections, with every request on them.
    pub fn cut(&self) {
        self.cut_where(|_, _| true);
    }

    /// Ends those of its connections, by the trust that they were made under and what was shown on them, for which `ends` holds.
    pub fn cut_where(&self, ends: impl Fn(u64, Option<&Shown>) -> bool) -> usize {
        let standing = self.standing();
        let ending = standing.iter().filter(|opened| ends(opened.group, opened.certificate.get()));
        ending.inspect(|opened| opened.end()).count()
    }

    /// Ends those of its connections that lead nowhere; how many. A ping of an edge goes over one connection, and there may be
    /// others: those are found by this.
    pub fn cut_deaf(&self) -> usize {
        self.cut_silent_for(DEAF)
    }

    fn cut_silent_for(&self, limit: Duration) -> usize {
        let standing = self.standing();
        standing.iter().filter(|opened| opened.is_deaf(limit)).inspect(|opened| opened.end()).count()
    }

    /// What was shown on its connections that were made under a trust.
    pub fn proven(&self, group: u64) -> Vec<Shown> {
        let standing = self.standing();
        let under = standing.iter().filter(|opened| opened.group == group);
        under.filter_map(|opened| opened.certificate.get().cloned()).collect()
    }

    fn standing(&self) -> Vec<Arc<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }
}

/// Connects for a lane, which keeps a handle of the socket.
#[derive(Debug)]
pub struct LaneDialer {
    /// The lane.
    pub lane: Arc<Lane>,
    /// Whether it is for an upgrade.
    pub upgrade: bool,
    /// How long the connection may take, without the handshake.
    pub limit: Duration,
    /// The trust that counts now.
    pub group: u64,
}

#[async_trait]
impl L4Connect for LaneDialer {
    async fn connect(&self, address: &EngineAddr) -> Result<Stream> {
        let connected = tokio::time::timeout(self.limit, connect(address, self.upgrade)).await;
        let (mut stream, socket) = connected.or_err(ErrorType::ConnectTimedout, "connecting to a peer")??;
        hold_little(&socket).or_err(ErrorType::SocketError, "limiting what the socket holds")?;
        let made = Arc::new(Opened { socket, group: self.group, upgrade: self.upgrade, certificate: OnceLock::new() });
        let mut opened = self.lane.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|opened| opened.strong_count() > 0);
        opened.push(Arc::downgrade(&made));
        drop(opened);
        // Not as the handle of `dial`, by which one request's deadline would end the connection of all.
        let response = Box::new(ResponseHeader::build(200, Some(0))?);
        stream.set_proxy_digest(ProxyDigest::new(response, Some(Box::new(made))));
        Ok(stream)
    }
}

/// An edge's cluster is part of who it is: an id is only its own word.
type ByEdge = HashMap<(ClusterId, InstanceId), Vec<Arc<Lane>>>;

/// The lanes that are kept, by who is at their end.
#[derive(Default)]
pub struct Roster {
    lanes: ArcSwap<Vec<Arc<Lane>>>,
    by_edge: ArcSwap<ByEdge>,
}

impl Roster {
    /// Replaces the lanes. Only the prober calls it.
    pub fn keep(&self, lanes: Vec<Arc<Lane>>) {
        self.lanes.store(Arc::new(lanes));
        self.sort();
    }

    /// The clusters of which a lane has failed, and none leads to an edge.
    pub fn unreachable(&self) -> BTreeSet<ClusterId> {
        let lanes = self.lanes.load();
        let failed = lanes.iter().filter(|lane| lane.fault().is_some());
        let reached: BTreeSet<_> = lanes.iter().filter(|lane| lane.instance().is_some()).map(|lane| &lane.cluster).collect();
        failed.map(|lane| &lane.cluster).filter(|cluster| !reached.contains(cluster)).cloned().collect()
    }

    /// To be called when somebody else was seen at the end of a lane.
    pub fn sort(&self) {
        let mut by_edge = ByEdge::new();
        for lane in self.lanes.load().iter() {
            if let Some(instance) = lane.instance() {
                let edge = (lane.cluster.clone(), (*instance).clone());
                by_edge.entry(edge).or_default().push(Arc::clone(lane));
            }
        }
        // A plan that was made for an edge which has just been succeeded is served by its successor.
        let mut succeeded = ByEdge::new();
        for lane in self.lanes.load().iter() {
            if let Some(before) = lane.before.load_full() {
                let edge = (lane.cluster.clone(), (*before).clone());
                succeeded.entry(edge).or_default().push(Arc::clone(lane));
            }
        }
        for (edge, lanes) in succeeded {
            by_edge.entry(edge).or_insert(lanes);
        }
        self.by_edge.store(Arc::new(by_edge));
    }

    /// One of the lanes that lead to an edge.
    pub fn lane(&self, cluster: &ClusterId, instance: &InstanceId, random: usize) -> Option<Arc<Lane>> {
        let by_edge = self.by_edge.load();
        let lanes = by_edge.get(&(cluster.clone(), instance.clone()))?;
        Some(Arc::clone(&lanes[random % lanes.len()]))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_edge_is_found_by_every_lane_that_leads_to_it_and_by_none_that_no_longer_does() {
        let lane = |index| Lane::new("azure".parse().unwrap(), "10.0.0.1:8444".parse().unwrap(), index);
        let lanes: Vec<_> = (0..3).map(lane).collect();
        let (one, other) = (InstanceId::of(1), InstanceId::of(2));
        let roster = Roster::default();
        assert!(lanes[0].seen(Some(&one)) && lanes[1].seen(Some(&one)) && !lanes[1].seen(Some(&one)));
        roster.keep(lanes.clone());
        let found = |instance: &InstanceId| -> Vec<Option<u8>> {
            (0..2).map(|random| roster.lane(&"azure".parse().unwrap(), instance, random).map(|lane| lane.index)).collect()
        };
        assert_eq!(found(&one), [Some(0), Some(1)]);
        assert_eq!(found(&other), [None, None]);
        lanes[0].seen(Some(&other));
        roster.sort();
        assert_eq!((found(&one), found(&other)), (vec![Some(1); 2], vec![Some(0); 2]));
        lanes[1].seen(None);
        roster.sort();
        assert_eq!(found(&one), [Some(0), Some(0)], "by its successor");
        lanes[0].seen(None);
        roster.sort();
        assert_eq!((found(&one), found(&other)), (vec![None; 2], vec![None; 2]));
    }

    /// The connection on which nobody answers ends, and the other one of the lane does not.
    #[tokio::test]
    async fn a_connection_on_which_nothing_comes_back_is_ended() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lane = Lane::new("azure".parse().unwrap(), listener.local_addr().unwrap(), 0);
        let dialer = |upgrade| LaneDialer { lane: Arc::clone(&lane), upgrade, limit: Duration::from_secs(5), group: 1 };
        let address = EngineAddr::from(lane.address);
        let mut ends = Vec::new();
        for upgrade in [false, false, true] {
            let near = dialer(upgrade).connect(&address).await.unwrap();
            ends.push((near, listener.accept().await.unwrap().0));
        }
        for opened in lane.standing() {
            opened.shown(Shown { serial: Vec::new(), digest: Vec::new() });
        }
        let limit = Duration::from_millis(300);
        assert_eq!(lane.cut_silent_for(limit), 0, "not at once");
        let asking = async {
            let mut looks = tokio::time::interval(Duration::from_millis(20));
            while lane.cut_silent_for(limit) == 0 {
                looks.tick().await;
                for (n, (near, far)) in ends.iter_mut().enumerate() {
                    near.write_all(b"ping").await.unwrap();
                    near.flush().await.unwrap();
                    far.read_exact(&mut [0; 4]).await.unwrap();
                    if n == 1 {
                        far.write_all(b"pong").await.unwrap();
                        near.read_exact(&mut [0; 4]).await.unwrap();
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asking).await.expect("it is found");
        assert_eq!(ends[0].1.read(&mut [0; 1]).await.unwrap(), 0, "nobody answered");
        for (near, far) in &mut ends[1..] {
            far.write_all(b"more").await.unwrap();
            near.read_exact(&mut [0; 4]).await.unwrap();
        }
    }

    #[test]
    fn a_lane_has_a_stranger_until_somebody_was_seen() {
        let lane = Lane::new("azure".parse().unwrap(), "10.0.0.1:8444".parse().unwrap(), 0);
        lane.seen(Some(&InstanceId::of(1)));
        lane.note_stranger();
        assert!(lane.has_stranger() && lane.instance().as_deref() == Some(&InstanceId::of(1)));
        lane.seen(Some(&InstanceId::of(1)));
        assert!(!lane.has_stranger());
    }
}

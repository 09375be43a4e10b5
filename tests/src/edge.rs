//! An edge's data plane in the test's own process: listeners and engine, on a world's snapshot.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use causeway::access_log::{AccessLog, QUEUE};
use causeway::authorities::AuthoritiesCell;
use causeway::drain::{Phase, Tally};
use causeway::listen::{ClientDoor, bind};
use causeway::metrics::Metrics;
use causeway::process_secret::ProcessSecret;
use causeway::redirect::Redirect;
use causeway::service::engine;
use causeway::sessions::Sessions;
use causeway::shared::{Clock, Shared};
use causeway_certs::{
    Allowed, CertCell, CertIndex, CertPublisher, Certificate, DefaultOffer, Offer, PemPair, ServerTls, default_certificate,
    process_tickets, self_signed,
};
use causeway_config::PlainMode;
use causeway_core::{Snapshot, tick};
use tokio::sync::watch;

use crate::PATIENCE;
use crate::world::{CLUSTERS, World};

/// A running edge; it stops accepting when it is dropped.
pub struct Edge {
    /// Where clients reach it by TLS.
    pub https: SocketAddr,
    /// Where they come without TLS.
    pub http: SocketAddr,
    /// What requests are decided by.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Who vouches for backends.
    pub authorities: AuthoritiesCell,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// The time that its data plane goes by.
    pub clock: Clock,
    /// Tells connections to end.
    pub phase: watch::Sender<Phase>,
    /// Stops the listeners, by `true`.
    pub stop: watch::Sender<bool>,
    /// Where requests are logged, if the world says so.
    access_log: Option<Arc<AccessLog>>,
    lines: Lines,
    _certificates: CertPublisher,
}

/// Where the access log is written to.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Edge {
    /// Starts an edge that serves `world`, with one self-signed certificate for each list of names.
    ///
    /// # Panics
    /// Where loopback has no port left.
    pub fn start(world: &World, certificates: &[&[&str]]) -> Self {
        let pair = |names: &&[&str]| self_signed(names, unix_now()).expect("these are names");
        Self::serving(world, &certificates.iter().map(pair).collect::<Vec<_>>())
    }

    /// As [`Edge::start`], with these certificates.
    ///
    /// # Panics
    /// Where loopback has no port left.
    pub fn serving(world: &World, certificates: &[PemPair]) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let home = CLUSTERS[0].parse().expect("a cluster's name");
        let metrics = Arc::new(Metrics::new(&home, SystemTime::now()));
        let snapshot = Arc::new(ArcSwap::from_pointee(world.snapshot()));
        let (publisher, certificates) = CertCell::new(index(certificates));
        let (phase, watched) = watch::channel(Phase::Serving);
        let (stop, stopped) = watch::channel(false);
        let (clock, authorities) = (Clock::start(), AuthoritiesCell::default());
        let lines = Lines::default();
        let logged = world.config.access_log.enabled;
        let access_log =
            logged.then(|| Arc::new(AccessLog::start(lines.clone(), QUEUE, &metrics).expect("there is room for a thread")));
        let own = ProcessSecret::draw().expect("there is randomness");
        let shared = Arc::new(Shared {
            snapshot: Arc::clone(&snapshot),
            certificates,
            authorities: Arc::clone(&authorities),
            sessions: Sessions::load(None, &own).expect("no file can be missing"),
            locate: Box::new(|_| None),
            metrics: Arc::clone(&metrics),
            access_log: access_log.clone(),
            peers: Arc::default(),
            clock,
            phase: watched,
            gate: Arc::default(),
            open: Tally::default(),
        });
        let listen = &world.config.listen;
        let https = ClientDoor::https(&listen.https, Arc::clone(&shared), engine(Arc::clone(&shared)));
        let socket = https.bind(&listen.https.bind).expect("loopback has ports").remove(0);
        let tls_address = socket.local_addr().expect("it is bound");
        https.open(socket, stopped.clone());
        let plain = listen.http.as_ref().expect("worlds have it");
        let socket = bind("http", plain.bind[0], &plain.bind).expect("loopback has ports");
        let plain_address = socket.local_addr().expect("it is bound");
        if listen.plain.mode == PlainMode::Proxy {
            ClientDoor::http(plain, listen.plain, Arc::clone(&shared), engine(shared)).open(socket, stopped);
        } else {
            let redirect =
                Redirect { https_port: tls_address.port(), metrics: Arc::clone(&metrics), limits: world.config.limits.clone() };
            ClientDoor::http(plain, listen.plain, shared, Arc::new(redirect)).open(socket, stopped);
        }
        Self {
            https: tls_address,
            http: plain_address,
            snapshot,
            authorities,
            metrics,
            clock,
            phase,
            stop,
            access_log,
            lines,
            _certificates: publisher,
        }
    }

    /// Serves another world from now on.
    pub fn publish(&self, world: &World) {
        self.snapshot.store(Arc::new(world.snapshot()));
    }

    /// What happens ten times a second while an edge runs.
    pub fn tick(&self) {
        tick(&self.snapshot.load(), self.clock.now());
    }

    /// What was logged of requests so far.
    ///
    /// # Panics
    /// Where the world says that nothing is.
    pub async fn log(&self) -> Vec<serde_json::Value> {
        let log = self.access_log.as_ref().expect("the world says so");
        assert!(log.flush(PATIENCE).await, "the log is written");
        let lines = self.lines.0.lock().expect("nobody panics with it");
        lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parse).collect()
    }

    /// A line of the metrics: the value of a series, by its name and labels as they stand there.
    pub fn metric(&self, series: &str) -> Option<String> {
        let text = self.metrics.encode();
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
    }

    /// How much was refused for this reason.
    ///
    /// # Panics
    /// Never: a count is a number.
    pub fn refused(&self, reason: &str) -> u64 {
        let count = self.metric(&format!("causeway_refusals_total{{reason=\"{reason}\"}}"));
        count.map_or(0, |count| count.parse().expect("a count is a number"))
    }
}

fn parse(line: &[u8]) -> serde_json::Value {
    serde_json::from_slice(line).expect("a line is an object")
}

fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs().cast_signed()
}

fn index(certificates: &[PemPair]) -> CertIndex {
    let now = unix_now();
    let tls = ServerTls::new(process_tickets().expect("there is randomness"));
    let offer = |(at, pair): (usize, &PemPair)| {
        let certificate = Certificate::from_pem(&pair.cert, &pair.key, &tls);
        Offer {
            source: format!("certificate {at}"),
            rank: 0,
            hosts: Allowed::Any,
            except: Vec::new(),
            certificate: certificate.map(Arc::new),
        }
    };
    let default = default_certificate(&tls, now).expect("it can be made");
    let default = DefaultOffer { source: "default".into(), certificate: Arc::new(default) };
    CertIndex::build(certificates.iter().enumerate().map(offer).collect(), default, now).0
}

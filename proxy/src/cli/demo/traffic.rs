//! Steady light traffic: one client at each edge, on a connection that it keeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Version;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::client::{Connection, Trust};
use super::edges::Edge;
use super::expect::{Client, Sample, WWW};

/// From one request to the next at each edge: 50 a second.
const PACE: Duration = Duration::from_millis(20);

/// What was asked at each edge, in the order of the edges, so far.
pub(super) type Samples = Vec<Vec<Sample>>;

/// Traffic that runs until this is dropped.
pub(super) struct Traffic {
    samples: watch::Receiver<Samples>,
    _clients: JoinSet<()>,
}

impl Traffic {
    /// Begins to ask every edge.
    pub(super) fn start(edges: &[Edge], trust: &Trust, client: Client) -> Self {
        let (record, samples) = watch::channel(vec![Vec::new(); edges.len()]);
        let record = Arc::new(record);
        let mut clients = JoinSet::new();
        for (position, edge) in edges.iter().enumerate() {
            let (record, trust, edge) = (Arc::clone(&record), trust.clone(), edge.https);
            clients.spawn(async move {
                let mut pace = tokio::time::interval(PACE);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut kept = None;
                loop {
                    pace.tick().await;
                    let began = Instant::now();
                    let asked = async {
                        let connection = match kept.take() {
                            Some(connection) => connection,
                            None => trust.connect(edge, WWW, Version::HTTP_11).await?,
                        };
                        ask(connection, client).await
                    };
                    let served_by = match asked.await {
                        Ok((served_by, connection)) => {
                            kept = connection;
                            served_by
                        }
                        Err(error) => Err(format!("{error:#}")),
                    };
                    let sample = Sample { began, took: began.elapsed(), served_by };
                    record.send_modify(|samples| samples[position].push(sample));
                }
            });
        }
        Self { samples, _clients: clients }
    }

    /// Waits until every edge's samples are as they should be; false if that takes longer than `patience`.
    pub(super) async fn until(&mut self, patience: Duration, enough: impl Fn(&[Sample]) -> bool) -> bool {
        let all = self.samples.wait_for(|samples| samples.iter().all(|edge| enough(edge)));
        matches!(tokio::time::timeout(patience, all).await, Ok(Ok(_)))
    }

    /// What there is so far.
    pub(super) fn samples(&self) -> Samples {
        self.samples.borrow().clone()
    }
}

/// One request, and the connection if it can carry another.
async fn ask(mut connection: Connection, client: Client) -> anyhow::Result<(Result<String, String>, Option<Connection>)> {
    let answer = connection.ask(WWW, client.address()).await?;
    let usable = connection.usable().await;
    Ok((answer.served_by(), usable.then_some(connection)))
}

//! What requests meet: pods, their moods, and the links between clouds.

use std::time::Duration;

/// Clusters, by position; an edge lives in each.
pub(crate) const CLOUDS: [&str; 3] = ["aws", "azure", "google"];
pub(crate) const AWS: usize = 0;
pub(crate) const AZURE: usize = 1;
pub(crate) const GOOGLE: usize = 2;

/// Round trips in milliseconds.
const ROUND_TRIPS: [[f64; 3]; 3] = [[1.0, 80.0, 160.0], [80.0, 1.0, 130.0], [160.0, 130.0, 1.0]];

/// How a pod takes requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    /// It answers; so many times slower than usual.
    Answers(f64),
    /// Its port is closed.
    Refuses,
    /// It accepts, and never answers.
    Stalls,
}

/// All pods, by cloud, and all links, from an edge to a cloud.
#[derive(Debug)]
pub(crate) struct Clouds {
    pub(crate) pods: [Vec<Mood>; 3],
    pub(crate) linked: [[bool; 3]; 3],
}

/// What becomes of a try, as things stand when it begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// An answer after this time.
    Answer(Duration),
    /// No connection, after this time.
    Refused(Duration),
    /// Nothing, ever; and no connection.
    Unconnected,
    /// Nothing, ever, over a connection that stood.
    Nothing,
}

impl Clouds {
    pub(crate) fn new(pods: usize) -> Self {
        Self { pods: [(); 3].map(|()| vec![Mood::Answers(1.0); pods]), linked: [[true; 3]; 3] }
    }

    pub(crate) fn set(&mut self, cloud: usize, mood: Mood) {
        self.pods[cloud].fill(mood);
    }

    pub(crate) fn fate(&self, edge: usize, cloud: usize, pod: usize, rng: &mut fastrand::Rng) -> Fate {
        let round_trip = ROUND_TRIPS[edge][cloud] * (1.0 + 0.1 * rng.f64());
        let ms = |ms: f64| Duration::from_secs_f64(ms / 1000.0);
        if !self.linked[edge][cloud] {
            // Half of the tries find a kept connection, on which nothing comes any more.
            return if rng.bool() { Fate::Nothing } else { Fate::Unconnected };
        }
        match self.pods[cloud][pod] {
            Mood::Refuses => Fate::Refused(ms(round_trip)),
            Mood::Stalls => Fate::Nothing,
            // Most answers take 5 to 20 ms, one in a hundred ten times as long.
            Mood::Answers(times) => {
                let tail = if rng.u8(..100) == 0 { 10.0 } else { 1.0 };
                Fate::Answer(ms(round_trip + (5.0 + 15.0 * rng.f64()) * tail * times))
            }
        }
    }

    /// Whether a connection can be made.
    pub(crate) fn connects(&self, edge: usize, cloud: usize, pod: usize) -> bool {
        self.linked[edge][cloud] && self.pods[cloud].get(pod).is_some_and(|mood| *mood != Mood::Refuses)
    }

    /// Whether an answer that is on its way still comes.
    pub(crate) fn answers(&self, edge: usize, cloud: usize, pod: usize) -> Fate {
        match self.pods[cloud].get(pod) {
            _ if !self.linked[edge][cloud] => Fate::Nothing,
            Some(Mood::Answers(_)) => Fate::Answer(Duration::ZERO),
            Some(Mood::Stalls) => Fate::Nothing,
            Some(Mood::Refuses) | None => Fate::Refused(Duration::ZERO),
        }
    }
}

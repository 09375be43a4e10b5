//! What became of the requests around each fault, as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use causeway_tests::traffic::{Class, Sample};
use tokio::time::Instant;

use super::clouds::Fault;

/// What was on its way when a fault came, and had been sent not longer before than this, is of the fault. Answers take a fifth of it.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// How long a fault may be noticed.
const NOTICED: Duration = Duration::from_secs(5);

/// The share of idempotent requests that may fail meanwhile.
const BUDGET: f64 = 0.005;

/// A fault, and its end.
pub(crate) struct Episode {
    pub(crate) fault: Fault,
    pub(crate) broken: Instant,
    pub(crate) healed: Instant,
    pub(crate) over: Instant,
}

impl Episode {
    /// Its four spans: the moment after the fault, the rest of it, and the same of its end.
    fn spans(&self) -> [(Instant, Instant); 4] {
        let noticed = |at: Instant, end: Instant| (at + NOTICED).min(end);
        let (broken, healed) = (noticed(self.broken, self.healed), noticed(self.healed, self.over));
        [(self.broken, broken), (broken, self.healed), (self.healed, healed), (healed, self.over)]
    }
}

pub(crate) struct Report {
    pub(crate) samples: Vec<Sample>,
    pub(crate) episodes: Vec<Episode>,
}

impl Report {
    fn of(&self, (from, to): (Instant, Instant), class: Class) -> impl Iterator<Item = &Sample> {
        let of = move |sample: &&Sample| sample.class == class && (from..to).contains(&self.moment(sample));
        self.samples.iter().filter(of)
    }

    /// The moment that a request is counted at: when it was sent, or when something broke or was mended while it was on its way.
    fn moment(&self, sample: &Sample) -> Instant {
        let events = self.episodes.iter().flat_map(|episode| [episode.broken, episode.healed]);
        let on_its_way = sample.sent..sample.sent + sample.took.min(ON_ITS_WAY);
        events.filter(|event| on_its_way.contains(event)).min().unwrap_or(sample.sent)
    }

    /// How many were sent in a span, and how many of them failed.
    fn count(&self, span: (Instant, Instant), class: Class) -> (usize, usize) {
        let all = self.of(span, class);
        all.fold((0, 0), |(sent, failed), sample| (sent + 1, failed + usize::from(sample.outcome.is_err())))
    }

    /// How many failed in the moments after the fault and after its end, and how many at other times.
    pub(crate) fn failed(&self, episode: &Episode, class: Class) -> (usize, usize) {
        let [broken, faulty, healed, well] = episode.spans().map(|span| self.count(span, class).1);
        (broken + healed, faulty + well)
    }

    /// The faults that cost more than they may.
    pub(crate) fn over_budget(&self) -> Vec<String> {
        let mut over = Vec::new();
        for episode in &self.episodes {
            let [broken, faulty, healed, well] = episode.spans().map(|span| self.count(span, Class::Get));
            for (when, (sent, failed)) in [("after the fault", broken), ("after its end", healed)] {
                if failed as f64 > BUDGET * sent as f64 {
                    over.push(format!("{:?}: {failed} of {sent} GETs failed in the 5 s {when}", episode.fault));
                }
            }
            let later = faulty.1 + well.1;
            if later > 0 {
                over.push(format!("{:?}: {later} GETs failed later", episode.fault));
            }
        }
        over
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, episode: &Episode) -> fmt::Result {
        let spans = episode.spans();
        let cell = |span, class| {
            let (sent, failed) = self.count(span, class);
            format!("{failed} of {sent}")
        };
        let whole = (episode.broken, episode.over);
        let slowest = self.of(whole, Class::Get).filter(|sample| sample.outcome.is_ok()).map(|sample| sample.took).max();
        let [broken, faulty, healed, well] = spans.map(|span| cell(span, Class::Get));
        let others = [Class::Post, Class::Grpc, Class::WebSocket].map(|class| cell(whole, class));
        writeln!(
            f,
            "| {:?} | {broken} | {faulty} | {healed} | {well} | {} | {} ms |",
            episode.fault,
            others.join(" | "),
            slowest.unwrap_or_default().as_millis()
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| fault | GETs lost in its first 5 s | later | in the 5 s after its end | later | POST | gRPC | WebSocket | slowest GET |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        self.episodes.iter().try_for_each(|episode| self.row(f, episode))?;
        for episode in &self.episodes {
            let mut reasons: BTreeMap<(Class, String), usize> = BTreeMap::new();
            for sample in self.samples.iter().filter(|s| (episode.broken..episode.over).contains(&self.moment(s))) {
                if let Err(why) = &sample.outcome {
                    // Without the request's id, which is on the next line.
                    *reasons.entry((sample.class, why.lines().next().unwrap_or_default().to_owned())).or_default() += 1;
                }
            }
            for ((class, why), count) in reasons {
                writeln!(f, "{:?}: {class:?}: {count} x {why}", episode.fault)?;
            }
        }
        Ok(())
    }
}

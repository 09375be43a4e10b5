//! The play: events in the order of virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use causeway_core::retry::Wait;
use causeway_core::{Nanos, health, pulse, tick};

use crate::clouds::{CLOUDS, Clouds, Fate};
use crate::edge::{Edge, Failure, Request};
use crate::fleet::Fleet;
use crate::report::Report;

/// Pods in each cloud.
pub(crate) const PODS: usize = 100;

/// Between two requests, of all edges together: 1,000 a second.
pub(crate) const BUSY: Duration = Duration::from_millis(1);

/// How much longer a limit that ran out while the edge was late waits for what came meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// When the play begins: a clock that begins at zero would make everything look very old.
const BEGIN: Nanos = Nanos(1_000_000_000_000);

/// Something that happens at a moment, in seconds.
pub(crate) type Change = (f64, Box<dyn Fn(&mut Stage)>);
pub(crate) type Script = Vec<Change>;

/// What a script may change.
pub(crate) struct Stage {
    pub(crate) clouds: Clouds,
    pub(crate) fleet: Fleet,
    /// Whether the API servers have said something new.
    pub(crate) told: bool,
    /// By edge, for how long it gets no processor from now on.
    pub(crate) starve: [Duration; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Script(usize),
    Tick,
    /// The threads of all edges that serve requests beat, where they run.
    Beat,
    /// An edge runs again.
    Wake(usize),
    Arrive,
    /// At an edge, of a client near a cloud, whose request waited until the edge ran again.
    Late(usize, usize),
    /// Of a request and its try.
    Answer(u64, u32),
    Refused(u64, u32),
    /// The endpoint has not been heard of for long enough.
    Silence(u64, u32, Wait),
    GiveUp(u64, u32),
}

struct Run {
    now: Nanos,
    end: Nanos,
    queue: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    events: u64,
    requests: HashMap<u64, (Request, (usize, usize), Fate)>,
    edges: Vec<Edge>,
    stage: Stage,
    script: Script,
    rng: fastrand::Rng,
    report: Report,
    pace: Duration,
}

/// Plays a script of so many seconds, with so long between two requests.
pub(crate) fn run(seed: u64, seconds: usize, pace: Duration, script: Script) -> Report {
    let fleet = Fleet::new(PODS);
    let edges = (0..CLOUDS.len()).map(|home| Edge::new(home, &fleet, BEGIN)).collect();
    let mut run = Run {
        now: BEGIN,
        end: BEGIN.after(Duration::from_secs(seconds as u64)),
        queue: BinaryHeap::new(),
        events: 0,
        requests: HashMap::new(),
        edges,
        stage: Stage { clouds: Clouds::new(PODS), fleet, told: false, starve: [Duration::ZERO; 3] },
        script: Vec::new(),
        rng: fastrand::Rng::with_seed(seed),
        report: Report::new(seed, seconds),
        pace,
    };
    for (index, (at, _)) in script.iter().enumerate() {
        run.at(BEGIN.after(Duration::from_secs_f64(*at)), Event::Script(index));
    }
    run.script = script;
    run.after(Duration::ZERO, Event::Tick);
    run.after(Duration::ZERO, Event::Beat);
    run.after(pace, Event::Arrive);
    run.play();
    run.report
}

/// Since the play began.
fn seconds(moment: Nanos) -> f64 {
    moment.since(BEGIN).as_secs_f64()
}

impl Run {
    fn play(&mut self) {
        while let Some(Reverse((now, _, event))) = self.queue.pop() {
            self.now = now;
            if let Some(later) = self.late(event) {
                self.at(later, event);
                continue;
            }
            match event {
                Event::Script(index) => self.follow(index),
                Event::Tick => self.tick(),
                Event::Beat => self.beat(),
                Event::Wake(edge) => self.edges[edge].snapshot.pulse.beat(now),
                Event::Arrive => self.arrive(),
                Event::Late(edge, client) => self.begin(edge, client),
                Event::Answer(id, made) => self.answer(id, made),
                Event::Refused(id, made) => self.fail(id, made, Failure::Unconnected),
                Event::Silence(id, made, left) => self.silence(id, made, left),
                Event::GiveUp(id, made) => match self.requests.get(&id) {
                    Some((_, _, Fate::Unconnected)) => self.fail(id, made, Failure::Unconnected),
                    _ => self.fail(id, made, Failure::Overdue),
                },
            }
        }
    }

    fn at(&mut self, time: Nanos, event: Event) {
        self.events += 1;
        self.queue.push(Reverse((time, self.events, event)));
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now.after(delay), event);
    }

    /// When an event is seen that comes while its edge gets no processor. Ticks and API servers have threads of their own.
    fn late(&self, event: Event) -> Option<Nanos> {
        let (id, look) = match event {
            Event::Answer(id, _) | Event::Refused(id, _) => (id, Duration::ZERO),
            Event::Silence(id, ..) | Event::GiveUp(id, _) => (id, LOOK),
            _ => return None,
        };
        let (request, ..) = self.requests.get(&id)?;
        let wakes = self.edges[request.edge].starved;
        (self.now < wakes).then(|| wakes.after(look))
    }

    fn beat(&mut self) {
        for edge in self.edges.iter().filter(|edge| edge.starved <= self.now) {
            edge.snapshot.pulse.beat(self.now);
        }
        if self.now < self.end {
            self.after(pulse::PERIOD, Event::Beat);
        }
    }

    fn follow(&mut self, index: usize) {
        (self.script[index].1)(&mut self.stage);
        for (edge, time) in std::mem::take(&mut self.stage.starve).into_iter().enumerate().filter(|(_, time)| !time.is_zero()) {
            let wakes = self.now.after(time);
            self.edges[edge].starved = wakes;
            self.at(wakes, Event::Wake(edge));
        }
        if std::mem::take(&mut self.stage.told) {
            for edge in &mut self.edges {
                edge.learn(&self.stage.fleet, self.now);
            }
        }
    }

    fn tick(&mut self) {
        let time = seconds(self.now);
        for edge in &mut self.edges {
            edge.reach(&self.stage.clouds, self.now, &mut self.rng);
            tick(&edge.snapshot, self.now);
            self.report.silent[edge.home] += edge.silent(self.now);
            self.report.shares[edge.home].push((time, std::array::from_fn(|client| edge.shares(client))));
        }
        if self.now < self.end {
            self.after(health::PERIOD, Event::Tick);
        }
    }

    fn arrive(&mut self) {
        let (edge, client) = (self.rng.usize(..CLOUDS.len()), self.rng.usize(..CLOUDS.len()));
        match self.edges[edge].starved {
            wakes if self.now < wakes => self.at(wakes, Event::Late(edge, client)),
            _ => self.begin(edge, client),
        }
        // Not to the beat: clients do not agree on when to ask.
        let pause = self.pace.mul_f64(2.0 * self.rng.f64());
        if self.now.after(pause) < self.end {
            self.after(pause, Event::Arrive);
        }
    }

    fn begin(&mut self, edge: usize, client: usize) {
        let request = self.edges[edge].request(client, self.rng.u64(..), self.now);
        // Each has one of its own: several begin where an edge wakes.
        self.events += 1;
        self.try_next(self.events, request);
    }

    fn try_next(&mut self, id: u64, mut request: Request) {
        let snapshot = &self.edges[request.edge].snapshot;
        let Some((cloud, pod)) = request.next(snapshot, self.now) else { return self.done(&request, None) };
        let second = (seconds(self.now) as usize).min(self.report.seconds[0].len() - 1);
        self.report.seconds[request.edge][second].tries[cloud] += 1;
        let fate = self.stage.clouds.fate(request.edge, cloud, pod, &mut self.rng);
        let wait = request.wait(snapshot, fate, self.now);
        let made = request.made();
        match fate {
            Fate::Answer(delay) if delay < wait.in_silence => self.after(delay, Event::Answer(id, made)),
            Fate::Answer(delay) => {
                self.after(delay, Event::Answer(id, made));
                self.listen(id, made, wait);
            }
            Fate::Refused(delay) => self.after(delay, Event::Refused(id, made)),
            Fate::Unconnected | Fate::Nothing => self.listen(id, made, wait),
        }
        self.requests.insert(id, (request, (cloud, pod), fate));
    }

    /// The request, if this try of it is still going on.
    fn current(&self, id: u64, made: u32) -> Option<&(Request, (usize, usize), Fate)> {
        self.requests.get(&id).filter(|(request, ..)| request.made() == made)
    }

    fn answer(&mut self, id: u64, made: u32) {
        let Some((request, (cloud, pod), _)) = self.current(id, made) else { return };
        match self.stage.clouds.answers(request.edge, *cloud, *pod) {
            Fate::Answer(_) => {
                let (mut request, (cloud, _), _) = self.requests.remove(&id).expect("it was there");
                request.answered(self.now);
                self.done(&request, Some(cloud));
            }
            // It died while it worked.
            Fate::Refused(_) => self.fail(id, made, Failure::Reset),
            Fate::Unconnected | Fate::Nothing => {
                let wait = request.wait(&self.edges[request.edge].snapshot, Fate::Nothing, request.begun);
                let rest = wait.in_silence.saturating_sub(self.now.since(request.begun));
                self.after(rest, Event::Silence(id, made, Wait { most: wait.most.saturating_sub(wait.in_silence), ..wait }));
            }
        }
    }

    /// Waits for as long as nothing may be heard, once; as the edge does.
    fn listen(&mut self, id: u64, made: u32, wait: Wait) {
        let stretch = wait.in_silence.min(wait.most);
        self.after(stretch, Event::Silence(id, made, Wait { most: wait.most.saturating_sub(stretch), ..wait }));
    }

    fn silence(&mut self, id: u64, made: u32, left: Wait) {
        if self.current(id, made).is_none() {
            return;
        }
        let (request, _, fate) = self.requests.get_mut(&id).expect("it goes on");
        if *fate != Fate::Unconnected && !left.most.is_zero() && request.heard() {
            self.listen(id, made, left);
        } else {
            self.at(self.now, Event::GiveUp(id, made));
        }
    }

    fn fail(&mut self, id: u64, made: u32, failure: Failure) {
        if self.current(id, made).is_none() {
            return;
        }
        let (mut request, ..) = self.requests.remove(&id).expect("it was there");
        if request.failed(failure, self.now) { self.try_next(id, request) } else { self.done(&request, None) }
    }

    fn done(&mut self, request: &Request, served_by: Option<usize>) {
        let took = self.now.since(request.begun).as_secs_f64();
        self.report.done(request.edge, seconds(request.begun), took, served_by);
    }
}

//! What goes wrong, and what must hold nevertheless.

use std::time::Duration;

use causeway_core::Nanos;
use causeway_core::cluster::{Endpoint, Freshness};

use crate::clouds::{AWS, AZURE, CLOUDS, GOOGLE, Mood};
use crate::fleet::endpoint;
use crate::report::Report;
use crate::run::{BUSY, Change, PODS, Script, Stage, run};

/// When the fault comes; when it has been seen at the latest; when it is healed; in seconds.
const FAULT: f64 = 5.0;
const SEEN: f64 = 8.0;
const HEALED: f64 = 16.0;

/// How long after healing everything is as before: 10 s until it is tried again, 30 s of ramp.
const AFTER: f64 = 46.0;
const END: usize = (HEALED + AFTER) as usize;

/// What a request costs that goes around the globe: 160 ms, and a slow answer.
const AROUND: f64 = 0.42;

/// Plays a scenario with ten seeds, or as many as `SIMULATION_SEEDS` says; `SIMULATION_PRINT=7` prints seed 7 instead.
fn play(seconds: usize, script: impl Fn() -> Script, check: impl Fn(&Report)) {
    play_at(BUSY, seconds, script, check);
}

/// The same at another pace.
fn play_at(pace: Duration, seconds: usize, script: impl Fn() -> Script, check: impl Fn(&Report)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SIMULATION_PRINT") {
        let report = run(seed, seconds, pace, script());
        println!("{report}");
        return check(&report);
    }
    for seed in 0..number("SIMULATION_SEEDS").unwrap_or(10) {
        check(&run(seed, seconds, pace, script()));
    }
}

fn at(seconds: f64, change: impl Fn(&mut Stage) + 'static) -> Change {
    (seconds, Box::new(change))
}

fn at_most(report: &Report, what: &str, found: f64, most: f64) {
    assert!(found <= most, "seed {}: {what}: {found:.4} is more than {most}\n{report}", report.seed);
}

/// Of every hundred requests, half a one fails in the five seconds after a fault, and none later.
fn assert_served(report: &Report, end: f64) {
    at_most(report, "failed before the fault", report.failed(0.0, FAULT - 1.0), 0.0);
    // What was on its way when the fault came is of the second before.
    at_most(report, "failed after the fault", report.failed(FAULT - 1.0, FAULT + 5.0), 0.005);
    at_most(report, "failed later", report.failed(FAULT + 5.0, end), 0.0);
}

/// A cluster that is gone gets nothing but one request now and then that finds out whether it is back.
fn assert_left_alone(report: &Report, edge: usize, cluster: usize, to: f64) {
    let tries = report.tries(edge, cluster, SEEN, to);
    at_most(report, "tries at a dead cluster", f64::from(tries), (to - SEEN) / 2.0);
}

fn whole_cloud(mood: Mood) {
    let script = || vec![at(FAULT, move |s| s.clouds.set(AZURE, mood)), at(HEALED, |s| s.clouds.set(AZURE, Mood::Answers(1.0)))];
    play(END, script, |report| {
        assert_served(report, END as f64);
        report.assert_steady();
        at_most(report, "p99 while it is gone", report.p99(SEEN, HEALED), AROUND);
        for edge in [AWS, AZURE, GOOGLE] {
            assert_left_alone(report, edge, AZURE, HEALED);
            report.assert_ramps(edge, AZURE, HEALED);
        }
    });
}

#[test]
fn cloud_death() {
    whole_cloud(Mood::Refuses);
}

#[test]
fn cloud_that_accepts_and_never_answers() {
    whole_cloud(Mood::Stalls);
}

#[test]
fn half_the_pods() {
    let half = |s: &mut Stage, mood| s.clouds.pods[AZURE].iter_mut().step_by(2).for_each(|pod| *pod = mood);
    let script = move || vec![at(FAULT, move |s| half(s, Mood::Refuses)), at(HEALED, move |s| half(s, Mood::Answers(1.0)))];
    play(END, script, |report| {
        assert_served(report, END as f64);
        report.assert_steady();
        at_most(report, "p99 while they are gone", report.p99(SEEN, HEALED), AROUND);
        for edge in [AWS, AZURE, GOOGLE] {
            let share = report.share(edge, AZURE, AZURE, HEALED);
            assert!(share > 0.6, "seed {}: what is left still serves, not {share}\n{report}", report.seed);
        }
    });
}

#[test]
fn slow_cloud() {
    // Ten times slower: 50 to 200 ms, and one answer in a hundred up to 2 s.
    let script =
        || vec![at(FAULT, |s| s.clouds.set(AZURE, Mood::Answers(10.0))), at(HEALED, |s| s.clouds.set(AZURE, Mood::Answers(1.0)))];
    play(END, script, |report| {
        at_most(report, "failed", report.failed(0.0, END as f64), 0.0);
        report.assert_steady();
        for edge in [AWS, AZURE, GOOGLE] {
            let share = report.share(edge, AZURE, AZURE, HEALED);
            assert!(share > 0.99, "seed {}: slow is not dead, yet it has {share}\n{report}", report.seed);
        }
    });
}

#[test]
fn crawling_cloud() {
    // Forty times slower: 200 to 800 ms, and one answer in a hundred 2 to 8 s. Many endpoints owe answers for longer than they ever
    // did, until it is known how slow they are.
    let script =
        || vec![at(FAULT, |s| s.clouds.set(AZURE, Mood::Answers(40.0))), at(HEALED, |s| s.clouds.set(AZURE, Mood::Answers(1.0)))];
    play(END, script, |report| {
        let well = report.failed(0.0, FAULT - 1.0) + report.failed(HEALED + 1.0, END as f64);
        at_most(report, "failed before and after", well, 0.0);
        // Answers that take longer than the client's patience.
        at_most(report, "failed", report.failed(FAULT - 1.0, HEALED + 1.0), 0.005);
        report.assert_steady();
        for edge in [AWS, AZURE, GOOGLE] {
            assert!(report.silent[edge] > 0, "seed {}: nobody fell silent\n{report}", report.seed);
            let share = report.share(edge, AZURE, AZURE, HEALED);
            assert!(share > 0.99, "seed {}: slow is not dead, yet it has {share}\n{report}", report.seed);
        }
    });
}

#[test]
fn quiet_pool_that_becomes_slow() {
    // Two requests a second of all edges together, and everywhere the same ten times slower from one moment on: what all take is no
    // reason to go elsewhere, and what nobody was waiting for until now is no silence.
    let slow =
        |s: &mut Stage, times| [AWS, AZURE, GOOGLE].into_iter().for_each(|cloud| s.clouds.set(cloud, Mood::Answers(times)));
    let script = move || vec![at(FAULT, move |s| slow(s, 10.0)), at(HEALED, move |s| slow(s, 1.0))];
    play_at(Duration::from_millis(500), END, script, |report| {
        at_most(report, "failed", report.failed(0.0, END as f64), 0.0);
        report.assert_steady();
        for (edge, cloud) in [AWS, AZURE, GOOGLE].into_iter().flat_map(|edge| [AWS, AZURE, GOOGLE].map(|cloud| (edge, cloud))) {
            for second in FAULT as u32..END as u32 {
                let share = report.share(edge, cloud, cloud, f64::from(second));
                assert!(share > 0.99, "seed {}: slow is not dead, yet at {second} s it has {share}\n{report}", report.seed);
            }
        }
    });
}

#[test]
fn flapping_link() {
    // Three seconds gone, three seconds there.
    let script = || {
        let flaps = (0..6).flat_map(|n| {
            let begin = FAULT + 6.0 * f64::from(n);
            [at(begin, |s| s.clouds.linked[AWS][GOOGLE] = false), at(begin + 3.0, |s| s.clouds.linked[AWS][GOOGLE] = true)]
        });
        flaps.collect()
    };
    play(END, script, |report| {
        at_most(report, "failed", report.failed(FAULT, END as f64), 0.001);
        report.assert_steady();
        for edge in [AZURE, GOOGLE] {
            let share = report.share(edge, GOOGLE, GOOGLE, FAULT + 20.0);
            assert!(share > 0.99, "seed {}: the others' links are well\n{report}", report.seed);
        }
    });
}

#[test]
fn api_loss() {
    // The API server is silent while the pods serve on; one in ten dies unseen.
    let script = || {
        vec![
            at(FAULT, |s| {
                s.fleet.states[AZURE].freshness = Freshness::Stale(Nanos(0));
                s.told = true;
            }),
            at(FAULT + 2.0, |s| s.clouds.pods[AZURE].iter_mut().step_by(10).for_each(|pod| *pod = Mood::Refuses)),
            at(HEALED, |s| {
                s.fleet.states[AZURE].freshness = Freshness::Synced;
                s.fleet.set_pods(AZURE, (0..PODS).filter(|pod| pod % 10 != 0).map(|pod| endpoint(AZURE, pod)));
                s.told = true;
            }),
        ]
    };
    play(30, script, |report| {
        at_most(report, "failed", report.failed(0.0, 30.0), 0.0);
        report.assert_steady();
        for edge in [AWS, AZURE, GOOGLE] {
            let shares = [10.0, 15.0, 25.0].map(|at| report.share(edge, AZURE, AZURE, at));
            assert!(shares.iter().all(|share| *share > 0.99), "seed {}: {shares:?}\n{report}", report.seed);
        }
    });
}

#[test]
fn api_returns_empty() {
    let script = || {
        let tell = |pods: usize| {
            move |s: &mut Stage| {
                s.fleet.set_pods(AZURE, (0..pods).map(|pod| endpoint(AZURE, pod)));
                s.told = true;
            }
        };
        vec![at(FAULT, tell(0)), at(HEALED, tell(PODS))]
    };
    play(END, script, |report| {
        at_most(report, "failed", report.failed(0.0, END as f64), 0.0);
        report.assert_steady();
        for edge in [AWS, AZURE, GOOGLE] {
            at_most(report, "tries at nobody", f64::from(report.tries(edge, AZURE, FAULT + 1.0, HEALED)), 0.0);
            report.assert_ramps(edge, AZURE, HEALED);
        }
    });
}

#[test]
fn asymmetric_partition() {
    // The edge in aws does not reach google; everybody else does.
    let script =
        || vec![at(FAULT, |s| s.clouds.linked[AWS][GOOGLE] = false), at(HEALED, |s| s.clouds.linked[AWS][GOOGLE] = true)];
    play(END, script, |report| {
        assert_served(report, END as f64);
        report.assert_steady();
        assert_left_alone(report, AWS, GOOGLE, HEALED);
        report.assert_ramps(AWS, GOOGLE, HEALED);
        for edge in [AZURE, GOOGLE] {
            let served = report.served(edge, GOOGLE, SEEN, HEALED);
            assert!(served > 700, "seed {}: it is well for the others: {served}\n{report}", report.seed);
        }
    });
}

#[test]
fn starved_edge() {
    // The edge in aws gets no processor for most of a second, again and again, and hears nothing of anybody meanwhile.
    let starve = |n: u32| at(FAULT + 3.0 * f64::from(n), |s: &mut Stage| s.starve[AWS] = Duration::from_millis(700));
    let script = move || (0..5).map(starve).collect();
    play(25, script, |report| {
        at_most(report, "failed", report.failed(0.0, 25.0), 0.0);
        for cloud in [AWS, AZURE, GOOGLE] {
            let least = report.least_share(AWS, cloud);
            assert!(least > 0.99, "seed {}: nobody is to blame, yet {} has {least}\n{report}", report.seed, CLOUDS[cloud]);
        }
        let (tries, requests) = report.all_tries(AWS);
        assert_eq!(tries, requests, "seed {}: nothing is tried twice\n{report}", report.seed);
    });
}

#[test]
fn scale_up() {
    // Twice as many pods; the new ones become ready one after the other.
    let tell = |ready: usize| {
        move |s: &mut Stage| {
            let pod = |pod| Endpoint { ready: pod < ready, serving: pod < ready, ..endpoint(AZURE, pod) };
            s.clouds.pods[AZURE].resize(2 * PODS, Mood::Answers(1.0));
            s.fleet.set_pods(AZURE, (0..2 * PODS).map(pod));
            s.told = true;
        }
    };
    let script = move || (0..=20).map(|n| at(FAULT + n as f64, tell(PODS + 5 * n))).collect();
    play(40, script, |report| {
        at_most(report, "failed", report.failed(0.0, 40.0), 0.0);
        report.assert_steady();
        at_most(report, "p99", report.p99(FAULT, 40.0), AROUND);
        for (edge, second) in [AWS, AZURE, GOOGLE].into_iter().flat_map(|edge| (0..40).map(move |second| (edge, second))) {
            let share = report.share(edge, AZURE, AZURE, f64::from(second));
            assert!(share > 0.99, "seed {}: nothing spills at {second} s, yet {share}\n{report}", report.seed);
        }
    });
}

#[test]
fn rolling_restart() {
    // Ten at a time: terminating and still serving, then gone and replaced by new ones.
    let script = || {
        let step = |round: usize, leaving: bool| {
            move |s: &mut Stage| {
                let old =
                    |pod: usize| Endpoint { ready: pod / 10 > round, terminating: pod / 10 == round, ..endpoint(AZURE, pod) };
                let gone = if leaving { round } else { round + 1 };
                let old = (10 * gone..PODS).map(old);
                let new = (0..10 * gone).map(|pod| endpoint(AZURE, PODS + pod));
                s.clouds.pods[AZURE].resize(2 * PODS, Mood::Answers(1.0));
                s.clouds.pods[AZURE][..10 * gone].fill(Mood::Refuses);
                s.fleet.set_pods(AZURE, old.chain(new));
                s.told = true;
            }
        };
        (0..10)
            .flat_map(|round| {
                let begin = FAULT + 2.0 * round as f64;
                [at(begin, step(round, true)), at(begin + 1.0, step(round, false))]
            })
            .collect()
    };
    play(40, script, |report| {
        at_most(report, "failed", report.failed(0.0, 40.0), 0.0);
        report.assert_steady();
        at_most(report, "p99", report.p99(FAULT, 40.0), AROUND);
        for edge in [AWS, AZURE, GOOGLE] {
            let share = report.share(edge, AZURE, AZURE, 39.0);
            assert!(share > 0.99, "seed {}: {share}\n{report}", report.seed);
        }
    });
}

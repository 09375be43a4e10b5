#![allow(clippy::float_cmp)]
use std::sync::Arc;

use super::*;
use crate::time::Nanos;

fn at(seconds: f64) -> Nanos {
    Nanos((seconds * 1e9) as u64)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// One of which nothing is known.
fn unknown() -> Arc<ClusterCell> {
    Arc::new(ClusterCell::new(ms(30)))
}

/// One across an ocean.
fn far() -> Arc<ClusterCell> {
    Arc::new(ClusterCell::new(ms(190)))
}

fn attempt(cell: &Arc<EndpointCell>, now: Nanos) -> Attempt {
    attempt_in(&unknown(), cell, now)
}

fn attempt_in(cluster: &Arc<ClusterCell>, cell: &Arc<EndpointCell>, now: Nanos) -> Attempt {
    Attempt::begin(Arc::clone(cell), Arc::clone(cluster), Due::Answer, now)
}

#[test]
fn a_spike_is_believed_at_once_and_forgiven_slowly() {
    let cell = Arc::new(EndpointCell::new(ms(30)));
    attempt(&cell, at(1.0)).answered(200, at(1.5));
    assert!((cell.latency(at(1.5)) - 0.5).abs() < 1e-9);
    let after_one_decay = cell.latency(at(11.5));
    assert!((after_one_decay - (0.03 + 0.47 / std::f64::consts::E)).abs() < 1e-6, "{after_one_decay}");
}

#[test]
fn idleness_never_looks_like_speed() {
    let cell = Arc::new(EndpointCell::new(ms(30)));
    for i in 0..1000 {
        let now = at(f64::from(i));
        attempt(&cell, now).answered(200, now.after(ms(10)));
    }
    let learned = cell.latency(at(1000.0));
    assert!((learned - 0.010).abs() < 0.001, "{learned}");
    assert!((cell.latency(at(9000.0)) - learned).abs() < 1e-9);
}

#[test]
fn a_fast_error_costs_more_than_a_slow_answer() {
    let (failing, slow) = (Arc::new(EndpointCell::new(ms(30))), Arc::new(EndpointCell::new(ms(30))));
    attempt(&failing, at(1.0)).answered(500, at(1.001));
    attempt(&slow, at(1.0)).answered(200, at(1.8));
    assert!(failing.cost(at(2.0)) > slow.cost(at(2.0)));
    assert_eq!(failing.consecutive_failures(), 0, "a 500 is the application's own answer, not the gateway's");
}

#[test]
fn requests_in_flight_raise_the_cost_and_leave_with_the_attempt() {
    let cell = Arc::new(EndpointCell::new(ms(30)));
    let idle = cell.cost(at(1.0));
    let held = attempt(&cell, at(1.0));
    assert_eq!(cell.in_flight(), 1);
    assert!((cell.cost(at(1.0)) - 2.0 * idle).abs() < 1e-9);
    drop(held);
    assert_eq!(cell.in_flight(), 0);
}

#[test]
fn an_endpoint_that_never_was_ready_counts_only_after_five_minutes() {
    let cell = EndpointCell::new(ms(30));
    cell.note_readiness(false, at(10.0));
    assert!(!cell.counts(at(309.0)));
    assert!(cell.counts(at(311.0)));
    let cell = EndpointCell::new(ms(30));
    cell.note_readiness(true, at(10.0));
    cell.note_readiness(false, at(11.0));
    assert!(cell.counts(at(11.0)), "it was ready once");
}

#[test]
fn a_recovering_cluster_ramps_even_when_its_pods_were_replaced_meanwhile() {
    let cell = ClusterCell::new(ms(30));
    cell.note_capacity(true, at(0.0));
    cell.note_capacity(false, at(1.0));
    cell.note_capacity(false, at(2.0));
    assert_eq!(cell.note_capacity(true, at(2.9)), 0.0, "left alone for two seconds");
    assert_eq!(cell.note_capacity(true, at(3.0)), 0.05, "on probation");
    cell.answer(true, at(3.0));
    assert_eq!(cell.note_capacity(true, at(3.0)), 0.1);
}

#[test]
fn after_a_quiet_time_ejections_begin_short_again() {
    let cell = EndpointCell::new(ms(30));
    for second in [0.0, 100.0, 1000.0] {
        cell.eject(at(second), (ms(30_000), ms(300_000)), 1.0);
    }
    assert!(cell.ejected(at(1029.0)) && !cell.ejected(at(1031.0)));
}

#[test]
fn an_average_forgets_with_time_and_not_with_the_number_of_observations() {
    let cell = Arc::new(EndpointCell::new(ms(30)));
    attempt(&cell, at(0.0)).answered(500, at(1.0));
    for i in 0..1000 {
        let now = at(1.0 + f64::from(i) / 1000.0);
        attempt(&cell, now).answered(200, now.after(ms(1)));
    }
    assert!(cell.latency(at(2.0)) > 1.5, "a second is a tenth of the decay: {}", cell.latency(at(2.0)));
}

#[test]
fn a_recovering_cluster_ramps_from_a_tenth_over_thirty_seconds() {
    let cell = ClusterCell::new(ms(30));
    assert_eq!(cell.note_capacity(true, at(0.0)), 1.0, "never seen down: no ramp");
    assert_eq!(cell.note_capacity(false, at(1.0)), 0.0);
    assert_eq!(cell.note_capacity(true, at(3.0)), 0.05);
    assert_eq!(cell.note_capacity(true, at(9.0)), 0.05, "nobody has answered yet");
    cell.answer(true, at(9.0));
    assert_eq!(cell.note_capacity(true, at(9.0)), 0.1);
    assert!((cell.note_capacity(true, at(24.0)) - 0.55).abs() < 1e-9);
    assert_eq!(cell.note_capacity(true, at(39.0)), 1.0);
    assert!(!cell.unsettled(at(39.0)));
}

#[test]
fn weights_move_slowly() {
    let cell = ClusterCell::new(ms(30));
    assert_eq!(cell.smooth_weight(10.0, at(0.0)), 10.0);
    let soon = cell.smooth_weight(20.0, at(0.1));
    assert!(soon > 10.0 && soon < 10.2, "{soon}");
}

#[test]
fn ejections_grow_longer_up_to_a_limit() {
    let cell = EndpointCell::new(ms(30));
    cell.eject(at(0.0), (ms(30_000), ms(50_000)), 1.0);
    assert!(cell.ejected(at(29.0)) && !cell.ejected(at(31.0)));
    cell.eject(at(60.0), (ms(30_000), ms(50_000)), 1.0);
    assert!(cell.ejected(at(109.0)) && !cell.ejected(at(111.0)));
}

#[test]
fn two_requests_without_an_answer_for_a_quarter_of_a_second_are_silence() {
    let cell = Arc::new(EndpointCell::new(ms(1)));
    let mut owed = [attempt(&cell, at(1.0)), attempt(&cell, at(1.1))];
    assert!(!cell.silent(&unknown(), at(1.25)) && cell.silent(&unknown(), at(1.26)));
    owed[1].answered(200, at(1.3));
    assert!(!cell.silent(&unknown(), at(1.3)), "it has answered");
    let third = attempt(&cell, at(1.31));
    assert!(!cell.silent(&unknown(), at(1.55)) && cell.silent(&unknown(), at(1.56)), "silence begins anew with the last answer");
    drop(third);
    assert!(!cell.silent(&unknown(), at(9.0)), "one request proves nothing");
}

#[test]
fn who_is_slow_may_be_silent_for_longer() {
    let cell = Arc::new(EndpointCell::new(ms(100)));
    let _owed = [attempt(&cell, at(1.0)), attempt(&cell, at(1.0))];
    assert!(!cell.silent(&unknown(), at(1.99)) && cell.silent(&unknown(), at(2.01)), "ten times its average");
}

#[test]
fn an_ocean_takes_no_ten_times_as_long_as_usual() {
    let (cell, cluster) = (Arc::new(EndpointCell::new(ms(190))), far());
    for n in 0..200 {
        let now = at(f64::from(n) / 20.0);
        attempt_in(&cluster, &cell, now).answered(200, now.after(ms(155)));
    }
    cluster.learn();
    let _owed = [attempt_in(&cluster, &cell, at(11.0)), attempt_in(&cluster, &cell, at(11.0))];
    let silent = |seconds| cell.silent(&cluster, at(seconds));
    assert!(!silent(11.3) && silent(11.4), "twice the way of 160 ms, which is known to a half octave");
}

#[test]
fn calls_on_streams_tell_of_the_way_and_of_nothing_that_takes_long() {
    let (cell, cluster) = (Arc::new(EndpointCell::new(ms(190))), far());
    let ask = |now: Nanos, took| {
        Attempt::begin(Arc::clone(&cell), Arc::clone(&cluster), Due::Nothing, now).answered(200, now.after(ms(took)));
    };
    (0..200).for_each(|n| ask(at(f64::from(n) / 20.0), 155));
    (0..50).for_each(|n| ask(at(20.0 + f64::from(n)), 9000));
    cluster.learn();
    assert!(cluster.patience() < ms(4000), "of the calls that wait for an event: nothing");
    assert!(cluster.silence(0.155) < ms(370));
}

#[test]
fn what_comes_out_of_a_silence_does_not_make_the_next_one_look_normal() {
    let (cell, cluster) = (Arc::new(EndpointCell::new(ms(1))), unknown());
    for n in 0..200 {
        let now = at(f64::from(n) / 20.0);
        attempt_in(&cluster, &cell, now).answered(200, now.after(ms(3)));
    }
    // A link is stalled for ten seconds, and then all of it comes at once.
    let mut stalled: Vec<_> = (0..20).map(|_| attempt_in(&cluster, &cell, at(10.0))).collect();
    assert!(cell.silent(&cluster, at(10.3)));
    cluster.hush(at(19.9));
    for attempt in &mut stalled {
        attempt.answered(200, at(20.0));
    }
    cluster.learn();
    assert_eq!(cluster.patience(), ms(1000), "as before");
    assert!(cell.silence(&cluster, at(20.0)) < ms(2000), "{:?}", cell.silence(&cluster, at(20.0)));
}

#[test]
fn who_has_become_slow_is_no_longer_silent() {
    let (cell, cluster) = (Arc::new(EndpointCell::new(ms(1))), unknown());
    let mut now = at(1.0);
    for _ in 0..200 {
        attempt_in(&cluster, &cell, now).answered(200, now.after(ms(3)));
        now = now.after(ms(50));
    }
    cluster.learn();
    let mut turns = 0;
    while cell.silence(&cluster, now) < ms(2000) {
        attempt_in(&cluster, &cell, now).answered(200, now.after(ms(2000)));
        now = now.after(ms(2000));
        turns += 1;
    }
    assert!(turns <= 6, "it takes {turns} answers of two seconds to believe them");
}

#[test]
fn failures_do_not_make_silence_look_normal() {
    let cell = Arc::new(EndpointCell::new(ms(1)));
    attempt(&cell, at(1.0)).failed(at(3.0));
    let _owed = [attempt(&cell, at(3.0)), attempt(&cell, at(3.0))];
    assert!(cell.silent(&unknown(), at(3.3)));
}

#[test]
fn whoever_was_silent_twice_gets_one_request_at_a_time_until_it_answers() {
    let cell = Arc::new(EndpointCell::new(ms(1)));
    for _ in 0..2 {
        attempt(&cell, at(1.0)).failed(at(2.0));
    }
    assert!(!cell.silent(&unknown(), at(2.0)), "somebody has to find out");
    let mut probe = attempt(&cell, at(2.0));
    assert!(cell.silent(&unknown(), at(2.0)));
    probe.answered(503, at(2.1));
    let _more = attempt(&cell, at(2.1));
    assert!(!cell.silent(&unknown(), at(2.1)), "any answer is a sign of life");
}

#[test]
fn clients_that_leave_early_do_not_hide_silence() {
    let cell = Arc::new(EndpointCell::new(ms(1)));
    let mut owed = [attempt(&cell, at(1.0)), attempt(&cell, at(1.0))];
    for attempt in &mut owed {
        attempt.abandoned(at(1.4));
    }
    assert!(!cell.silent(&unknown(), at(1.4)), "nothing is owed");
    let mut again = [attempt(&cell, at(1.4)), attempt(&cell, at(1.4))];
    for attempt in &mut again {
        attempt.abandoned(at(1.8));
    }
    let _next = attempt(&cell, at(1.8));
    assert!(cell.silent(&unknown(), at(1.8)));
    assert_eq!(cell.consecutive_failures(), 0, "nobody has proved that it failed");
}

#[test]
fn streams_and_bodies_on_their_way_are_no_silence() {
    let cell = Arc::new(EndpointCell::new(ms(1)));
    let cluster = Arc::new(ClusterCell::new(ms(1)));
    let begin = |due| Attempt::begin(Arc::clone(&cell), Arc::clone(&cluster), due, at(1.0));
    let _streams = [begin(Due::Nothing), begin(Due::Nothing)];
    let mut uploads = [begin(Due::Answer), begin(Due::Answer)];
    uploads.iter_mut().for_each(Attempt::sending);
    assert!(!cell.silent(&unknown(), at(60.0)));
    for upload in &mut uploads {
        upload.sent(at(60.0));
    }
    assert!(!cell.silent(&unknown(), at(60.2)) && cell.silent(&unknown(), at(60.3)), "the wait begins when all is sent");
    assert_eq!(cell.in_flight(), 4);
}

#[test]
fn who_listens_hears_what_came_since_it_listened_last() {
    let cell = Arc::new(EndpointCell::new(ms(1)));
    let waiting = attempt(&cell, at(1.0));
    let mut ear = waiting.ear();
    attempt(&cell, at(1.0)).answered(200, at(1.1));
    assert_eq!([ear.heard(), ear.heard()], [true, false]);
    attempt(&cell, at(1.1)).answered(200, at(1.2));
    assert!(ear.heard());
}

#[test]
fn who_is_doubted_gets_nothing_until_that_has_an_end_and_is_asked_by_one_at_a_time() {
    let cell = Arc::new(EndpointCell::new(ms(1)));
    let (one, other) = (attempt(&cell, at(1.0)), attempt(&cell, at(1.0)));
    let (mut asks, mut waits) = (one.ear(), other.ear());
    assert!(asks.doubt() && !waits.doubt(), "one question is enough");
    assert!(cell.silent(&unknown(), at(1.0)) && !cell.owes(&unknown(), at(1.0)), "nothing new, and no verdict");
    asks.vouch();
    assert!(!cell.silent(&unknown(), at(1.0)));
    assert_eq!([waits.heard(), waits.heard()], [true, false], "the answer counts for all, once");
    assert!(waits.doubt());
    drop(waits);
    assert!(!cell.silent(&unknown(), at(1.0)), "who asked is gone");
}

#[test]
fn the_beginning_of_a_wait_is_no_answer() {
    let cell = Arc::new(EndpointCell::new(ms(1)));
    let mut upload = attempt(&cell, at(1.0));
    let mut ear = upload.ear();
    upload.sending();
    upload.sent(at(2.0));
    assert!(!ear.heard());
}

#[test]
fn what_all_answers_take_at_home_is_not_the_way() {
    let (cell, cluster) = (Arc::new(EndpointCell::new(ms(30))), unknown());
    for n in 0..200 {
        let now = at(f64::from(n) / 10.0);
        attempt_in(&cluster, &cell, now).answered(200, now.after(ms(400)));
    }
    cluster.learn();
    let silence = cell.silence(&cluster, at(20.4));
    assert!(silence > ms(1500), "much more than twice what it takes: {silence:?}");
}

#[test]
fn a_slow_request_is_told_from_a_silent_endpoint_by_what_else_was_answered() {
    let cell = Arc::new(EndpointCell::new(ms(1)));
    let mut slow = attempt(&cell, at(1.0));
    attempt(&cell, at(1.1)).answered(200, at(1.2));
    assert_eq!(slow.overdue(at(3.0)), Blame::Request, "it answers others");
    assert_eq!(cell.consecutive_failures(), 0);
    let mut cut = attempt(&cell, at(1.1));
    assert_eq!(cut.overdue(at(3.3)), Blame::Cluster, "what it answered before says nothing of now");
    let mut silent = attempt(&cell, at(2.0));
    assert_eq!(silent.overdue(at(4.0)), Blame::Cluster, "nobody answers");
    assert_eq!(cell.consecutive_failures(), 2);
}

#[test]
fn that_an_endpoint_did_not_answer_one_who_asked_is_known_to_all_who_wait_for_it() {
    let cell = Arc::new(EndpointCell::new(ms(1)));
    let (asking, waiting) = (attempt(&cell, at(1.0)), attempt(&cell, at(1.0)));
    let (mut asks, waits) = (asking.ear(), waiting.ear());
    assert!(asks.doubt() && !waits.condemned());
    asks.condemn();
    assert!(waits.condemned());
    assert!(!attempt(&cell, at(2.0)).ear().condemned(), "a later try is another matter");
}

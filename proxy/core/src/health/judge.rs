//! Which endpoints are ejected, and which clusters are left alone.
//!
//! The one protects against a bad pod, the other against a dark cloud. Only the first needs a limit: with half of its pods
//! gone a cluster still serves, while requests that a dark cloud does not get are served by the next.

use std::time::Duration;

use crate::cell::Tally;
use crate::pool::{Member, Pool, PoolEndpoint};
use crate::time::Nanos;

/// The first ejection's length; the n-th takes n times this, up to the maximum. Each is varied by a tenth.
pub const EJECTION: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(5));

/// By which part an ejection may be shorter or longer, so that edges do not all try an endpoint again at the same moment.
const JITTER: f64 = 0.1;

/// The largest part of a cluster's endpoints of one pool that may be ejected at once.
pub const EJECT_AT_MOST: f64 = 0.5;

/// Who succeeds less often than this over ten seconds is ejected, if it has been asked often enough to tell.
pub const SUCCESS: f64 = 0.8;

/// How many requests are enough to tell.
pub const ENOUGH: u64 = 20;

/// How many answers a cluster owes before its silence says something: with fewer it may be a few that are slow.
const SILENCE_OF: u32 = 8;

/// Judges every cluster's part of a pool.
pub(super) fn judge(pool: &Pool, now: Nanos) {
    let tallies: Vec<Tally> = pool.members.iter().map(|member| tally(in_rotation(member), now)).collect();
    let all = tallies.iter().fold(Tally::default(), |sum, tally| sum + *tally);
    for (index, member) in pool.members.iter().enumerate() {
        for endpoint in in_rotation(member).filter(|e| e.cell.ejected(now)) {
            endpoint.cell.forgive();
        }
        let elsewhere = || {
            let others = pool.members.iter().enumerate().filter(|(other, _)| *other != index);
            others.clone().any(|(_, m)| m.cell.closed(now).is_none() && open(m, now).next().is_some())
                && others.fold(Tally::default(), |sum, (other, _)| sum + tallies[other]).answered() >= SUCCESS
        };
        if dead(member, now) || (failing(member, now) && elsewhere()) {
            member.cell.darken(now);
            in_rotation(member).for_each(|e| e.cell.forgive());
            continue;
        }
        if silent(member, now) {
            member.cell.hush(now);
        }
        eject(member, all, now);
    }
}

fn in_rotation(member: &Member) -> impl Iterator<Item = &PoolEndpoint> {
    member.endpoints.iter().filter(|e| e.ready && !e.terminating && !e.cell.unreached())
}

fn open(member: &Member, now: Nanos) -> impl Iterator<Item = &PoolEndpoint> {
    in_rotation(member).filter(move |e| e.reachable() && !e.cell.ejected(now))
}

fn tally<'a>(endpoints: impl Iterator<Item = &'a PoolEndpoint>, now: Nanos) -> Tally {
    endpoints.fold(Tally::default(), |sum, e| sum + e.cell.tally(now))
}

/// Nothing in it answers: all that is in rotation has failed too often in a row, or so many tries in a row had no answer at
/// whichever endpoint that there is no need to ask each of a hundred five times.
fn dead(member: &Member, now: Nanos) -> bool {
    member.cell.gone() || open(member, now).next().is_some() && open(member, now).all(|e| e.cell.failing())
}

/// All of it fails too often, though now and then something answers. Endpoints whose last try failed are left out, since
/// those that are dead are ejected one by one. Only gateway failures count: an application's own errors go where it goes.
fn failing(member: &Member, now: Nanos) -> bool {
    let tally = tally(open(member, now).filter(|e| e.cell.consecutive_failures() == 0), now);
    tally.total() >= ENOUGH && tally.answered() < SUCCESS
}

/// All that is in rotation owes answers for too long; or several of them do, and nobody else has answered meanwhile.
fn silent(member: &Member, now: Nanos) -> bool {
    let waiting = || open(member, now).filter(|e| e.cell.awaited() > 0);
    let Some(since) = waiting().map(|e| e.cell.quiet_since()).min() else { return false };
    let quiet = member.cell.quiet(since.max(member.cell.answered_at()), now);
    let owed: u32 = waiting().map(|e| e.cell.awaited()).sum();
    let all = open(member, now).all(|e| e.cell.owes(&member.cell, now));
    all || (owed >= SILENCE_OF && waiting().all(|e| quiet > e.cell.silence(&member.cell, now)))
}

/// Takes failing endpoints out of rotation, at most half of them.
fn eject(member: &Member, all: Tally, now: Nanos) {
    if !open(member, now).any(|e| bad(e, all, now)) {
        return;
    }
    let count = in_rotation(member).count();
    let ejected = in_rotation(member).filter(|e| e.cell.ejected(now)).count();
    let limit = (count as f64 * EJECT_AT_MOST) as usize;
    for endpoint in open(member, now).filter(|e| bad(e, all, now)).take(limit.saturating_sub(ejected)) {
        endpoint.cell.eject(now, EJECTION, jitter(endpoint, now));
    }
}

/// It fails in a row, or succeeds too seldom while the rest of the pool does well: where all fail alike, by a fault of the
/// application or its database, none of them is to blame.
fn bad(endpoint: &PoolEndpoint, all: Tally, now: Nanos) -> bool {
    if endpoint.cell.failing() {
        return true;
    }
    let own = endpoint.cell.tally(now);
    own.total() >= ENOUGH && own.success() < SUCCESS && all.without(own).success() >= SUCCESS
}

/// From what is different at each edge and for each endpoint: the moment, and who it is.
fn jitter(endpoint: &PoolEndpoint, now: Nanos) -> f64 {
    let who = endpoint.uid.bytes().fold(now.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    1.0 + JITTER * (2.0 * fastrand::Rng::with_seed(who).f64() - 1.0)
}

//! Who goes first where there are more threads than processors.

/// How nice the control plane is (`nice(2)`): where there is not enough, its threads get a tenth of the processor that a thread which
/// serves gets.
const NICENESS: i32 = 10;

/// Lets threads that serve requests go before this one, and before those that it starts. While ten thousand routes are put together a
/// request would else wait for the end of a time slice, again and again. Where that cannot be had all are equal.
pub(super) fn behind_requests() {
    // Of this thread alone, as Linux has it.
    if rustix::process::getpriority_process(None).is_ok_and(|now| now < NICENESS) {
        let _ = rustix::process::setpriority_process(None, NICENESS);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::thread;

    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn the_control_plane_and_its_helpers_are_nicer_than_those_who_serve() {
        let before = niceness();
        let (own, of_helper) = thread::spawn(|| {
            behind_requests();
            (niceness(), thread::spawn(niceness).join().unwrap())
        })
        .join()
        .unwrap();
        assert_eq!((own, of_helper), (NICENESS.max(before), NICENESS.max(before)));
        assert_eq!(niceness(), before);
    }
}

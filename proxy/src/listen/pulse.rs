//! Whether an HTTP/2 client still lives: who is silent for long is asked by a PING (RFC 9113 section 6.7), and who does not answer
//! is given up.
//!
//! A client that vanished without a word, behind a balancer too, would keep the streams that it had open for as long as their
//! backends have nothing to send. The engine asks nobody, so the question is put between two of its frames, and the answer is
//! taken out again before it would wonder.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::strict::Sent;
use crate::metrics::RefusalReason;

/// The PING frame, and its answer: the same with the flag ACK.
const QUESTION: [u8; 17] = *b"\0\0\x08\x06\0\0\0\0\0causeway";
pub(super) const ANSWER: [u8; 17] = *b"\0\0\x08\x06\x01\0\0\0\0causeway";

/// What is known of a client's life.
#[derive(Debug)]
pub(super) struct Pulse {
    patience: Duration,
    heard: Instant,
    /// When it was asked, unless it was heard of since.
    asked: Option<Instant>,
    /// Whether it is to be asked as soon as a frame ends.
    owed: bool,
    /// What was sent.
    sent: Sent,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pulse {
    /// Of a client that may be silent for half of `patience`, and for the other half after it was asked.
    pub(super) fn new(patience: Duration) -> Self {
        let sent = Sent::new();
        Self { patience, heard: Instant::now(), asked: None, owed: false, sent, alarm: None }
    }

    /// Something came. Whether a question was open.
    pub(super) fn heard(&mut self) -> bool {
        self.heard = Instant::now();
        self.owed = false;
        self.asked.take().is_some()
    }

    /// What the engine has refused by itself since this was asked.
    pub(super) fn refusals(&mut self) -> Vec<RefusalReason> {
        self.sent.refusals()
    }

    /// Something was sent; gives the question, where it is due and stands between two frames.
    pub(super) fn sent(&mut self, bytes: &[u8]) -> Option<&'static [u8]> {
        self.sent.feed(bytes);
        self.question()
    }

    fn question(&mut self) -> Option<&'static [u8]> {
        if !self.owed || !self.sent.between() {
            return None;
        }
        (self.owed, self.asked) = (false, Some(Instant::now()));
        Some(&QUESTION)
    }

    /// Ready when the client is to be asked, with the question, or has not answered it: then with none. Leaves a waker behind
    /// before.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<&'static [u8]>> {
        loop {
            let half = self.patience / 2;
            let now = Instant::now();
            let next = match self.asked {
                Some(asked) if now >= asked + half => return Poll::Ready(None),
                Some(asked) => asked + half,
                // It is asked as soon as what is being sent ends. If it does not take even that, silence is answer enough.
                None if self.owed && now >= self.heard + self.patience => return Poll::Ready(None),
                None if self.owed => self.heard + self.patience,
                None if now >= self.heard + half => {
                    self.owed = true;
                    match self.question() {
                        Some(question) => return Poll::Ready(Some(question)),
                        None => continue,
                    }
                }
                None => self.heard + half,
            };
            // Set anew only when it has rung: most connections are silent for moments only.
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(next)));
            ready!(alarm.as_mut().poll(cx));
            if alarm.deadline() < next {
                alarm.as_mut().reset(next);
            }
        }
    }
}

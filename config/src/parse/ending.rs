//! `drain` and `handover`: how a process ends, and how the next one begins.

use std::time::Duration;

use super::Check;
use super::values::{Refusal, duration, positive_duration};
use crate::model::{Drain, Handover};
use crate::raw::{At, RawDrain, RawDuration, RawHandover};

/// The longest path of a Unix socket that every system takes, less what is put behind it while one replaces another
/// (unix(7): 108 bytes with the final zero).
const MAX_SOCKET_PATH: usize = 90;

/// How long a new process may take until it is ready.
const HANDOVER: Duration = Duration::from_mins(1);

impl Check<'_> {
    pub(super) fn drain(&self, raw: &At<RawDrain>) -> Drain {
        let default = Drain::default();
        let Some(raw) = raw.get() else { return default };
        Drain {
            // Zero is for who stands behind no load balancer.
            lame_duck: self.span(&raw.lame_duck, duration).unwrap_or(default.lame_duck),
            timeout: self.span(&raw.timeout, duration).unwrap_or(default.timeout),
        }
    }

    pub(super) fn handover(&self, raw: &At<RawHandover>) -> Option<Handover> {
        let (at, raw) = raw.given()?;
        self.need(at, "socket", &raw.socket, "name a Unix socket, such as `/run/causeway/handover.sock`");
        let timeout = self.span(&raw.timeout, positive_duration).unwrap_or(HANDOVER);
        let socket = self.path(&raw.socket)?;
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            self.report.fault(
                raw.socket.node(),
                crate::error::FaultKind::BadValue,
                format!("this path is longer than the {MAX_SOCKET_PATH} bytes that a Unix socket may have"),
                "choose a shorter one, such as `/run/causeway/handover.sock`",
            );
        }
        Some(Handover { socket, timeout })
    }

    fn span(&self, raw: &At<RawDuration>, parse: fn(&str) -> Result<Duration, Refusal>) -> Option<Duration> {
        let (at, RawDuration(text)) = raw.given()?;
        self.text(at, text, parse)
    }
}

//! Where a client's session is, told by a cookie.

use std::time::SystemTime;

use http::header::SET_COOKIE;
use pingora::Result;
use pingora::http::ResponseHeader;

use super::Proxy;
use crate::ctx::Ctx;
use crate::sessions::{self, Place};

impl Proxy {
    /// Tells the client where its session is, where it does not know yet. A session that had to move keeps its end.
    pub(super) fn keep_session(&self, response: &mut ResponseHeader, ctx: &Ctx) -> Result<()> {
        let (Some(session), Some(current)) = (&ctx.session, &ctx.current) else { return Ok(()) };
        let (persistence, known) = &**session;
        // Behind an edge it is a pod of that cluster, which every edge there finds by its tag; of an older edge, the edge itself.
        let (cluster, tag) = (&current.candidate.cluster_id, ctx.endpoint.unwrap_or(current.candidate.tag));
        let same = known.as_ref().is_some_and(|place| place.cluster == *cluster && place.tag == tag);
        if same || current.answered.is_none() || response.status.is_server_error() {
            return Ok(());
        }
        let now = unix_now();
        let until = known.as_ref().map_or_else(|| sessions::end(persistence, now), |place| place.until);
        let place = Place { cluster: cluster.clone(), tag, until };
        if let Some(cookie) = self.shared.sessions.cookie(persistence, &ctx.host, &place, now) {
            response.append_header(SET_COOKIE, cookie)?;
        }
        Ok(())
    }
}

/// Seconds since 1970.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

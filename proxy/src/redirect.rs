//! The plain listener where it does not serve: everything is sent to https, nothing is proxied.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_config::Limits;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, LOCATION};
use pingora::Result;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tracing::debug;

use crate::listen::{Connection, PLAIN_KEEP_ALIVE, Stage};
use crate::metrics::Metrics;
use crate::service::{head, respond, secure};

/// Redirects to https.
pub struct Redirect {
    /// The port that clients reach https on, which is not always the one that it is bound to.
    pub https_port: u16,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What request heads are held to; those of the start, since the connections themselves hold to the newest.
    pub limits: Limits,
}

impl Redirect {
    async fn answer(&self, session: &mut ServerSession) -> Result<()> {
        if let Some(connection) = Connection::of(session.digest()) {
            connection.set_stage(Stage::Request);
        }
        // 0 is the engine's word for an endless one.
        if session.get_keepalive() == Some(0) {
            session.set_keepalive(Some(PLAIN_KEEP_ALIVE.as_secs()));
        }
        let asked = match head::check(session.req_header(), &self.limits) {
            Ok(asked) => asked,
            Err(reply) => {
                self.metrics.refusal(reply.label);
                return respond::send(session, reply, &format!("{:032x}", fastrand::u128(..))).await;
            }
        };
        let location = secure::location(session.req_header(), &asked.host, self.https_port);
        // 308 keeps method and body, where 301 turns a POST into a GET (RFC 9110 section 15.4.9).
        let mut response = ResponseHeader::build(StatusCode::PERMANENT_REDIRECT, Some(4))?;
        response.insert_header(LOCATION, location)?;
        response.insert_header(CONTENT_LENGTH, 0)?;
        session.write_response_header(Box::new(response)).await
    }
}

#[async_trait]
impl HttpServerApp for Redirect {
    async fn process_new_http(self: &Arc<Self>, mut session: ServerSession, drain: &ShutdownWatch) -> Option<ReusedHttpStream> {
        match session.read_request().await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                debug!(%error, "no request");
                if *error.etype() == pingora::ErrorType::InvalidHTTPHeader {
                    let _ = session.respond_error(StatusCode::BAD_REQUEST.as_u16()).await;
                }
                session.shutdown().await;
                return None;
            }
        }
        if *drain.borrow() {
            session.set_keepalive(None);
        }
        if let Err(error) = self.answer(&mut session).await {
            debug!(%error, "the client left before its answer");
            return None;
        }
        if let Some(connection) = Connection::of(session.digest()) {
            connection.set_stage(Stage::Idle);
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}

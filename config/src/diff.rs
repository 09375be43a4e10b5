//! What a reload cannot change.

use crate::model::{ClientListener, Config, Fleet, Listen};

/// The fields that differ between two configurations and only take effect with a restart, by their paths in the file.
/// Everything else is live.
pub fn restart_needed(old: &Config, new: &Config) -> Vec<&'static str> {
    // Named one by one, so that a field added to any of these must be sorted into live or not.
    let Config {
        fleet: Fleet { name, tls, revoked: _, secret, siblings: _ },
        listen: Listen { http, plain, https, peer, health, admin },
        clusters: _,
        geo: _,
        hosts: _,
        strict_hosts: _,
        ingress_classes: _,
        sameness: _,
        tls: certificates,
        limits,
        upstream: _,
        responses: _,
        access_log: _,
        drain: _,
        handover,
        state_dir,
    } = old;
    let bind = |listener: &Option<ClientListener>| listener.as_ref().map(|l| l.bind.clone());
    // Turning the listener on or off is told by its address.
    let http_proxies = match (http, &new.listen.http) {
        (Some(old), Some(new)) => old.proxy_protocol != new.proxy_protocol,
        _ => false,
    };
    let changes = [
        ("fleet.name", *name != new.fleet.name),
        // Other files are live; what waits is that there are any.
        ("fleet.tls", tls.is_some() != new.fleet.tls.is_some()),
        ("fleet.secret", *secret != new.fleet.secret),
        ("listen.http.bind", bind(http) != bind(&new.listen.http)),
        ("listen.http.proxyProtocol", http_proxies),
        ("listen.http.mode", plain.mode != new.listen.plain.mode),
        ("listen.http.h2c", plain.h2c != new.listen.plain.h2c),
        ("listen.https.bind", https.bind != new.listen.https.bind),
        ("listen.https.proxyProtocol", https.proxy_protocol != new.listen.https.proxy_protocol),
        ("listen.peer.bind", *peer != new.listen.peer),
        ("listen.health.bind", *health != new.listen.health),
        ("listen.admin.bind", *admin != new.listen.admin),
        ("handover", *handover != new.handover),
        ("limits.http2.idleTimeout", limits.http2.idle_timeout != new.limits.http2.idle_timeout),
        ("limits.http2.streams", limits.http2.streams != new.limits.http2.streams),
        ("tls.ticketSecret", certificates.ticket_secret != new.tls.ticket_secret),
        ("stateDir", *state_dir != new.state_dir),
    ];
    changes.into_iter().filter(|(_, changed)| *changed).map(|(path, _)| path).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        crate::parse(text.as_bytes(), Path::new("f")).unwrap().config
    }

    #[test]
    fn only_listeners_and_the_fleet_wait_for_a_restart() {
        let old = config("clusters: {a: {}}");
        let live = "clusters: {b: {}}\nhosts: {x.example: {}}\nupstream: {attempts: 1}\ndrain: {lameDuck: 0s}\nlisten: {https: {forwardedFor: [10.0.0.0/8]}}";
        assert_eq!(restart_needed(&old, &config(live)), [""; 0]);
        let all = "clusters: {a: {}}\nfleet: {name: b, tls: {ca: a, cert: b, key: c}}\n\
                   handover: {socket: /h}\nlimits: {http2: {idleTimeout: 9s, streams: 9}}\ntls: {ticketSecret: /t}\nstateDir: /x\nlisten: {http: off, https: {bind: '0.0.0.0:1'}, health: {bind: '0.0.0.0:2'}, admin: {bind: '127.0.0.1:3'}}";
        let expected = [
            "fleet.name",
            "fleet.tls",
            "listen.http.bind",
            "listen.https.bind",
            "listen.peer.bind",
            "listen.health.bind",
            "listen.admin.bind",
            "handover",
            "limits.http2.idleTimeout",
            "limits.http2.streams",
            "tls.ticketSecret",
            "stateDir",
        ];
        assert_eq!(restart_needed(&old, &config(all)), expected);
        let proxies = "proxyProtocol: {mode: optional, from: [10.0.0.0/8]}";
        let proxies = config(&format!("clusters: {{a: {{}}}}\nlisten: {{http: {{{proxies}}}, https: {{{proxies}}}}}"));
        assert_eq!(restart_needed(&old, &proxies), ["listen.http.proxyProtocol", "listen.https.proxyProtocol"]);
        let serves = config("clusters: {a: {}}\nlisten: {http: {mode: proxy, h2c: true}}");
        assert_eq!(restart_needed(&old, &serves), ["listen.http.mode", "listen.http.h2c"]);
    }
}

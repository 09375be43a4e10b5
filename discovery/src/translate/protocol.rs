//! What a port speaks: `appProtocol` (KEP-2635, KEP-3726), else the port's name.
//!
//! Names follow the convention of Istio and Traefik: a protocol, alone or before a hyphen (`grpc`, `grpc-admin`). The
//! table stands in `docs/discovery.md`. What neither says is HTTP/1.1: every HTTP server speaks it, and ports that no
//! route ever leads to, such as a database's, need no remark.

use causeway_core::cluster::AppProtocol;

/// The protocol of a port with this `appProtocol` and this name.
pub(super) fn protocol(app_protocol: Option<&str>, name: &str) -> AppProtocol {
    app_protocol
        .and_then(|value| {
            let value = value.to_ascii_lowercase();
            by_word(value.strip_prefix("kubernetes.io/").unwrap_or(&value))
        })
        .or_else(|| by_name(name))
        .unwrap_or_default()
}

fn by_word(word: &str) -> Option<AppProtocol> {
    Some(match word {
        // gRPC-Web was made for HTTP/1.1; a WebSocket begins as an HTTP/1.1 upgrade.
        "http" | "ws" | "grpc-web" => AppProtocol::Http,
        "h2c" | "http2" | "grpc" => AppProtocol::H2c,
        "https" | "wss" => AppProtocol::Https,
        // Nobody has named it for Kubernetes; these are what ALPN (RFC 7301) and ports of gRPC servers say.
        "h2" | "grpcs" => AppProtocol::H2,
        _ => return None,
    })
}

fn by_name(name: &str) -> Option<AppProtocol> {
    if name.starts_with("grpc-web-") {
        return by_word("grpc-web");
    }
    by_word(name).or_else(|| by_word(name.split_once('-')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use AppProtocol::{H2, H2c, Http, Https};

    #[test]
    fn app_protocol_decides_before_the_name() {
        for (value, expected) in [
            ("kubernetes.io/h2c", H2c),
            ("kubernetes.io/ws", Http),
            ("kubernetes.io/wss", Https),
            ("grpc", H2c),
            ("GRPC", H2c),
            ("grpc-web", Http),
            ("http", Http),
            ("http2", H2c),
            ("https", Https),
            ("kubernetes.io/h2", H2),
            ("grpcs", H2),
        ] {
            assert_eq!(protocol(Some(value), "https"), expected, "{value}");
        }
    }

    #[test]
    fn the_name_decides_where_app_protocol_says_nothing_known() {
        for (name, expected) in [
            ("grpc", H2c),
            ("grpc-admin", H2c),
            ("grpc-web", Http),
            ("grpc-web-v2", Http),
            ("h2c", H2c),
            ("http2-api", H2c),
            ("https", Https),
            ("https-web", Https),
            ("grpcs-admin", H2),
            ("http", Http),
            ("web", Http),
            ("", Http),
            // A word counts whole only.
            ("httpsocket", Http),
            ("grpcish", Http),
        ] {
            assert_eq!(protocol(None, name), expected, "{name}");
            assert_eq!(protocol(Some("example.com/own"), name), expected, "{name}");
        }
    }
}

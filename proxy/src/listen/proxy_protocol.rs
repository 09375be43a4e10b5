//! PROXY protocol, versions 1 and 2: how a load balancer says whom it speaks for.
//!
//! Source: HAProxy's proxy-protocol.txt. The header is the first thing on a connection, before TLS, and must be believed
//! only from senders that the listener names, since whoever may write it chooses the client's address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use causeway_config::{ProxyProtocol, ProxyProtocolMode};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line of version 1, with its line feed (section 2.1).
const V1_MAX: usize = 107;

/// The longest header of version 2 that is read, although its length field could say 64 KiB: what clouds put into it
/// (addresses, an endpoint's id, a client certificate's name) stays far below.
const V2_MAX: usize = 4096;

/// Signature, version, family and length of a version 2 header (section 2.2).
const V2_FIXED: usize = 16;

const V1_PREFIX: &[u8] = b"PROXY ";

/// Whether a sender's connection begins with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// It does not; the first bytes are the client's own.
    Nothing,
    /// It may.
    Maybe,
    /// It must.
    Header,
}

/// Whom a header speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A client: its address, and the address that it called.
    Proxied {
        /// The client.
        client: SocketAddr,
        /// What it called.
        local: SocketAddr,
    },
    /// The sender itself, such as a health check (`LOCAL`), or somebody it does not know (`UNKNOWN`, a Unix socket).
    Sender,
}

/// Why a connection's PROXY protocol header was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProxyProtocolError {
    /// A listener that requires headers was called by somebody who may not send one.
    #[error("{0} is not in `proxyProtocol.from`, and this listener requires a header: add the load balancer's network")]
    Untrusted(IpAddr),
    /// The header must come and did not.
    #[error(
        "the connection does not begin with a PROXY protocol header: enable it on the load balancer, or set `proxyProtocol.mode: optional`"
    )]
    Missing,
    /// The header is malformed.
    #[error("malformed PROXY protocol header: {0}")]
    Malformed(String),
    /// The header did not come in time.
    #[error("no complete PROXY protocol header in time (`limits.proxyHeaderTimeout`)")]
    Timeout,
    /// The connection broke.
    #[error("while reading the PROXY protocol header: {0}")]
    Io(#[from] io::Error),
}

/// What to expect of a sender.
pub(super) fn expect(settings: &ProxyProtocol, sender: IpAddr) -> Result<Expect, ProxyProtocolError> {
    let sender = sender.to_canonical();
    let trusted = || settings.from.iter().any(|net| net.contains(&sender));
    match settings.mode {
        ProxyProtocolMode::Optional if trusted() => Ok(Expect::Maybe),
        ProxyProtocolMode::Off | ProxyProtocolMode::Optional => Ok(Expect::Nothing),
        ProxyProtocolMode::Required if trusted() => Ok(Expect::Header),
        ProxyProtocolMode::Required => Err(ProxyProtocolError::Untrusted(sender)),
    }
}

/// Reads the header where one is expected, within `timeout` (section 2 suggests 3 s). The bytes that came behind it are the second half of the answer.
pub(super) async fn read<R: AsyncRead + Unpin>(
    stream: &mut R,
    expect: Expect,
    timeout: Duration,
) -> Result<(Option<Header>, BytesMut), ProxyProtocolError> {
    let mut bytes = BytesMut::new();
    if expect == Expect::Nothing {
        return Ok((None, bytes));
    }
    let reading = async {
        loop {
            match parse(&bytes)? {
                Parsed::Header(header, length) => {
                    bytes.advance(length);
                    return Ok((Some(header), bytes));
                }
                Parsed::Other if expect == Expect::Maybe => return Ok((None, bytes)),
                Parsed::Other => return Err(ProxyProtocolError::Missing),
                Parsed::Partial => {}
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    };
    tokio::time::timeout(timeout, reading).await.unwrap_or(Err(ProxyProtocolError::Timeout))
}

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The beginning of a header, perhaps.
    Partial,
    /// Not a header.
    Other,
    /// A header, and its length in bytes.
    Header(Header, usize),
}

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let begins = |prefix: &[u8]| {
        let common = bytes.len().min(prefix.len());
        bytes[..common] == prefix[..common]
    };
    if bytes.is_empty() {
        Ok(Parsed::Partial)
    } else if begins(V1_PREFIX) {
        parse_v1(bytes)
    } else if begins(ppp::v2::PROTOCOL_PREFIX) {
        parse_v2(bytes)
    } else {
        Ok(Parsed::Other)
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let window = &bytes[..bytes.len().min(V1_MAX)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_MAX { Ok(Parsed::Partial) } else { Err(malformed("the line is too long")) };
    };
    let header = ppp::v1::Header::try_from(&bytes[..end + 2]).map_err(malformed)?;
    let header = match header.addresses {
        ppp::v1::Addresses::Tcp4(a) => {
            proxied((a.source_address.into(), a.source_port), (a.destination_address.into(), a.destination_port))
        }
        ppp::v1::Addresses::Tcp6(a) => {
            proxied((a.source_address.into(), a.source_port), (a.destination_address.into(), a.destination_port))
        }
        ppp::v1::Addresses::Unknown => Header::Sender,
    };
    Ok(Parsed::Header(header, end + 2))
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let Some(&[high, low]) = bytes.get(14..16) else {
        return Ok(Parsed::Partial);
    };
    let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > V2_MAX {
        return Err(malformed(format_args!("{length} bytes are too many")));
    }
    if bytes.len() < length {
        return Ok(Parsed::Partial);
    }
    let header = ppp::v2::Header::try_from(&bytes[..length]).map_err(malformed)?;
    let header = match (header.command, header.addresses) {
        (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv4(a)) => {
            proxied((a.source_address.into(), a.source_port), (a.destination_address.into(), a.destination_port))
        }
        (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv6(a)) => {
            proxied((a.source_address.into(), a.source_port), (a.destination_address.into(), a.destination_port))
        }
        _ => Header::Sender,
    };
    Ok(Parsed::Header(header, length))
}

fn proxied(client: (IpAddr, u16), local: (IpAddr, u16)) -> Header {
    // An IPv4 client that a dual-stack balancer took is an IPv4 client to every list of networks.
    let address = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip.to_canonical(), port);
    Header::Proxied { client: address(client), local: address(local) }
}

fn malformed(reason: impl std::fmt::Display) -> ProxyProtocolError {
    ProxyProtocolError::Malformed(reason.to_string())
}

#[cfg(test)]
#[path = "proxy_protocol/tests.rs"]
mod tests;

//! HTTP/2 frame by frame (RFC 9113 section 4), for clients that break its rules.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::{Client, soon};

/// The client's connection preface.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub const DATA: u8 = 0x0;
/// See [`DATA`].
pub const HEADERS: u8 = 0x1;
/// See [`DATA`].
pub const RST_STREAM: u8 = 0x3;
/// See [`DATA`].
pub const SETTINGS: u8 = 0x4;
/// See [`DATA`].
pub const PING: u8 = 0x6;
/// See [`DATA`].
pub const GOAWAY: u8 = 0x7;
/// See [`DATA`].
pub const WINDOW_UPDATE: u8 = 0x8;
/// See [`DATA`].
pub const CONTINUATION: u8 = 0x9;

/// Flags.
pub const END_STREAM: u8 = 0x1;
/// See [`END_STREAM`].
pub const END_HEADERS: u8 = 0x4;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as HPACK literals without indexing and without Huffman codes (RFC 7541 section 6.2.2), whatever is in them.
///
/// # Panics
/// On texts of 127 bytes and more.
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "longer ones need more than a byte for their length");
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A client that speaks HTTP/2 by hand: its preface and empty SETTINGS are sent.
///
/// # Panics
/// Where the edge refuses it.
pub async fn connect(edge: std::net::SocketAddr, sni: &str) -> Client {
    let mut client = Client::try_connect(edge, Some(sni), "h2").await.expect("the edge takes the connection");
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
    client
}

/// Sends some bytes so many times; whether the edge took all of them.
pub async fn flood(client: &mut Client, bytes: &[u8], times: usize) -> bool {
    let batch = Bytes::from(bytes.repeat(50));
    for _ in 0..times.div_ceil(50) {
        if soon("writing", client.stream.write_all(&batch)).await.is_err() {
            return false;
        }
    }
    soon("writing", client.stream.flush()).await.is_ok()
}

/// The frames that come until the edge ends the connection, or until `enough`.
pub async fn frames(client: &mut Client, enough: impl Fn(&Frame) -> bool) -> Vec<Frame> {
    frames_of(&mut client.stream, enough).await
}

/// As [`frames`], of any stream.
pub async fn frames_of<T: AsyncRead + Unpin>(stream: &mut T, enough: impl Fn(&Frame) -> bool) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Ok(frame) = soon("a frame", read_frame(stream)).await {
        frames.push(frame);
        if frames.last().is_some_and(&enough) {
            break;
        }
    }
    frames
}

/// The next frame.
///
/// # Errors
/// Where the connection ends first.
pub async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Frame> {
    let mut header = [0; 9];
    stream.read_exact(&mut header).await?;
    let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    let id = u32::from_be_bytes([header[5] & 0x7f, header[6], header[7], header[8]]);
    Ok(Frame { kind: header[3], flags: header[4], stream: id, payload })
}

//! Frames on the handover's Unix socket: a fixed head, file descriptors where there are some, and a JSON body.
//!
//! ```text
//! "causeway" | version u32 | descriptors u32 | length u32 | 1 byte with descriptors, as often as needed | body
//! ```
//!
//! Numbers are big-endian. The head never changes, so that two programs of any age can tell each other why they do not
//! understand each other. Both ends are threads that may wait; timeouts are the socket's.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Grows whenever an older program would misread a body.
pub(super) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"causeway";
const HEAD: usize = 20;

/// The longest body, in bytes: the state of a large fleet takes a tenth of it.
const LONGEST: usize = 256 << 20;

/// The most descriptors in a frame: five listeners of 64 addresses each, which is more than a configuration may have.
const MOST_FDS: usize = 512;

/// Descriptors that travel with one byte. The kernel takes 253 (`SCM_MAX_FD`).
const FDS_AT_ONCE: usize = 64;

/// Why two processes do not understand each other.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The other one has gone, or does not answer.
    #[error("the other process {how}: {0}", how = if timed_out(.0) { "does not answer" } else { "has gone" })]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("what answers on the handover socket is no edge")]
    Stranger,
    /// It is of another age.
    #[error("the other process speaks version {theirs} of the handover, and this one version {VERSION}: end the other one first")]
    Version {
        /// The other one's.
        theirs: u32,
    },
    /// It sent what makes no sense.
    #[error("the other process sent {0}")]
    Malformed(String),
}

/// Reads and writes that ran into the socket's timeout say so in two ways.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Sends a message, and with it duplicates of descriptors.
pub(super) fn send(stream: &UnixStream, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Result<(), WireError> {
    let body = zeroize::Zeroizing::new(serde_json::to_vec(message).map_err(|error| WireError::Malformed(error.to_string()))?);
    let mut head = Vec::with_capacity(HEAD);
    head.extend(MAGIC);
    for number in [VERSION as usize, fds.len(), body.len()] {
        let number = u32::try_from(number).map_err(|_| WireError::Malformed("too much for a frame".into()))?;
        head.extend(number.to_be_bytes());
    }
    (&*stream).write_all(&head)?;
    for some in fds.chunks(FDS_AT_ONCE) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_AT_ONCE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(some)) {
            return Err(WireError::Malformed("more descriptors than fit".into()));
        }
        sendmsg(stream, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL).map_err(io::Error::from)?;
    }
    (&*stream).write_all(&body)?;
    Ok(())
}

/// Receives a message, and the descriptors that came with it.
pub(super) fn receive<M: DeserializeOwned>(stream: &UnixStream) -> Result<(M, Vec<OwnedFd>), WireError> {
    let mut head = [0; HEAD];
    (&*stream).read_exact(&mut head)?;
    if &head[..8] != MAGIC {
        return Err(WireError::Stranger);
    }
    let [version, fds, length] =
        [8, 12, 16].map(|at| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize);
    if version != VERSION as usize {
        return Err(WireError::Version { theirs: version as u32 });
    }
    if fds > MOST_FDS || length > LONGEST {
        return Err(WireError::Malformed(format!("a frame with {fds} descriptors and {length} bytes")));
    }
    let mut received = Vec::with_capacity(fds);
    while received.len() < fds {
        receive_fds(stream, &mut received)?;
    }
    let mut body = zeroize::Zeroizing::new(vec![0; length]);
    (&*stream).read_exact(&mut body)?;
    let message = serde_json::from_slice(&body).map_err(|error| WireError::Malformed(format!("a message that {error}")))?;
    Ok((message, received))
}

fn receive_fds(stream: &UnixStream, received: &mut Vec<OwnedFd>) -> Result<(), WireError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_AT_ONCE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let got =
        recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC).map_err(io::Error::from)?;
    if got.bytes == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let before = received.len();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            received.extend(fds);
        }
    }
    if received.len() == before {
        return Err(WireError::Malformed("fewer descriptors than announced; is there a limit on open files (nofile)?".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn descriptors_arrive_in_order_and_are_the_same_sockets() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let sockets: Vec<_> = (0..150).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        send(&ours, &"hello", &fds).unwrap();
        send(&ours, &7, &[]).unwrap();
        let (text, received) = receive::<String>(&theirs).unwrap();
        assert_eq!(text, "hello");
        let received: Vec<_> = received.into_iter().map(|fd| TcpListener::from(fd).local_addr().unwrap()).collect();
        assert_eq!(received, sockets.iter().map(|socket| socket.local_addr().unwrap()).collect::<Vec<_>>());
        let (number, none) = receive::<u32>(&theirs).unwrap();
        assert_eq!((number, none.len()), (7, 0));
    }

    fn answer_to(bytes: &[u8]) -> WireError {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(bytes).unwrap();
        drop(ours);
        receive::<String>(&theirs).unwrap_err()
    }

    #[test]
    fn whoever_is_no_edge_or_of_another_age_is_told_apart() {
        assert!(matches!(answer_to(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), WireError::Stranger));
        assert!(matches!(answer_to(b"causeway\0\0\0\x02\0\0\0\0\0\0\0\x01x"), WireError::Version { theirs: 2 }));
        assert!(matches!(answer_to(b"causeway\0\0\0\x01\0\0\0\0\xff\0\0\0"), WireError::Malformed(_)));
        assert!(matches!(answer_to(b"causeway\0\0\0\x01\0\0\0\0\0\0\0\x01x"), WireError::Malformed(_)));
        assert!(matches!(answer_to(b"causeway\0\0\0\x01\0\0\0\x01\0\0\0\x01xx"), WireError::Malformed(_)));
        assert!(matches!(answer_to(b"cause"), WireError::Io(_)));
    }

    #[test]
    fn silence_ends_at_the_sockets_timeout() {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(std::time::Duration::from_millis(10))).unwrap();
        let error = receive::<String>(&theirs).unwrap_err().to_string();
        assert!(error.contains("does not answer"), "{error}");
    }
}

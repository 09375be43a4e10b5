"""Loads that wrk and h2load do not know. Each is a process of its own, and says what it saw as a line of JSON.

    python3 -m peers.clients handshakes PORT SECONDS full|resumed
    python3 -m peers.clients idle PORT COUNT h1|h2
    python3 -m peers.clients steady PORT BEGIN SECONDS RATE LIMIT
"""

import asyncio
import json
import os
import socket
import ssl
import sys
import time

HOST = "localhost"
PROCESSES = 4
# How long opening connections that are to be idle may take, in seconds.
OPENING = 90
REQUEST = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()


def context(protocol):
    """A client that believes everybody."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.set_alpn_protocols([protocol])
    return tls


def handshakes(port, seconds, kind):
    """A connection, a handshake and a request, one after the other, in a few processes."""
    readers = []
    for _ in range(PROCESSES):
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(read)
            with os.fdopen(write, "w") as out:
                json.dump(handshakes_of_one(port, seconds, kind == "resumed"), out)
            os._exit(0)
        os.close(write)
        readers.append(read)
    parts = []
    for read in readers:
        with os.fdopen(read) as source:
            parts.append(json.load(source))
    latencies = sorted(latency for part in parts for latency in part["latencies"])
    return {
        "requests": len(latencies),
        "seconds": seconds,
        "resumed": sum(part["resumed"] for part in parts),
        "failed": sum(part["failed"] for part in parts),
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[len(latencies) * 99 // 100],
    }


def handshakes_of_one(port, seconds, resume):
    tls, session, latencies, resumed, failed = context("http/1.1"), None, [], 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as plain:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with tls.wrap_socket(plain, server_hostname=HOST, session=session) as stream:
                    stream.sendall(REQUEST)
                    answer = b""
                    while part := stream.recv(4096):
                        answer += part
                    if not answer.startswith(b"HTTP/1.1 200"):
                        failed += 1
                        continue
                    first = session is None
                    if resume:
                        # Tickets are for one use each, and come behind the handshake (RFC 8446 section 4.6.1).
                        session = stream.session or session
                    if resume and first:
                        continue
                    resumed += stream.session_reused
        except OSError:
            failed += 1
            continue
        latencies.append(time.monotonic() - began)
    return {"latencies": latencies, "resumed": resumed, "failed": failed}


def frame(kind, flags, stream, payload):
    """An HTTP/2 frame (RFC 9113 section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


# `:method: GET`, `:scheme: https`, `:path: /` from HPACK's static table, and `:authority` as a literal (RFC 7541).
HEADERS = bytes([0x82, 0x87, 0x84, 0x01, len(HOST)]) + HOST.encode()
H2_REQUEST = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(4, 1, 0, b"") + frame(1, 5, 1, HEADERS)


def read_h2(stream, number=1):
    """Reads until that stream has ended; whether it did so properly."""
    held = b""
    while True:
        while len(held) < 9 or len(held) < 9 + int.from_bytes(held[:3], "big"):
            part = stream.recv(16384)
            if not part:
                return False
            held += part
        length, kind, flags, of = int.from_bytes(held[:3], "big"), held[3], held[4], int.from_bytes(held[5:9], "big")
        held = held[9 + length :]
        if kind in (3, 7):
            return False
        if of == number and kind in (0, 1) and flags & 1:
            return True


def idle(port, count, kind):
    """Opens connections, makes one request on each, and keeps them until a line comes in. Ends early where a server takes no more,
    or takes too long."""
    tls, held, failed = context("h2" if kind == "h2" else "http/1.1"), [], 0
    end = time.monotonic() + OPENING
    for _ in range(count):
        if failed or time.monotonic() > end:
            break
        try:
            stream = tls.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname=HOST)
        except OSError:
            break
        if kind == "h2":
            stream.sendall(H2_REQUEST)
            failed += not read_h2(stream)
        else:
            stream.sendall(REQUEST.replace(b"Connection: close\r\n", b""))
            answer = b""
            while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < 103:
                answer += (part := stream.recv(4096))
                if not part:
                    failed += 1
                    break
        held.append(stream)
    print(json.dumps({"open": len(held), "failed": failed}), flush=True)
    sys.stdin.readline()


async def steady(port, begin, seconds, rate, limit):
    """So many requests a second, whatever becomes of those before, over connections that are kept."""
    tls, idle, done = context("http/1.1"), [], []

    async def ask(stream):
        reader, writer = stream
        writer.write(REQUEST.replace(b"Connection: close\r\n", b""))
        head = await reader.readuntil(b"\r\n\r\n")
        fields = head.lower()
        if b"content-length: " in fields:
            await reader.readexactly(int(fields.partition(b"content-length: ")[2].split(b"\r")[0]))
        elif b"chunked" in fields:
            await reader.readuntil(b"0\r\n\r\n")
        if b"connection: close" in fields:
            writer.close()
        else:
            idle.append(stream)
        return head.startswith(b"HTTP/1.1 200")

    async def request():
        began = time.monotonic()
        stream = None
        try:
            async with asyncio.timeout(limit):
                while True:
                    reused = bool(idle)
                    stream = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=HOST)
                    try:
                        fine = await ask(stream)
                        break
                    except (asyncio.IncompleteReadError, ConnectionError) as error:
                        # A server may close a connection that is kept at any time: every client asks again then.
                        if not reused or getattr(error, "partial", b""):
                            raise
        except (OSError, EOFError, TimeoutError):
            fine = False
            if stream:
                stream[1].transport.abort()
        done.append((began - begin, time.monotonic() - began, not fine))

    tasks = []
    for number in range(int(seconds * rate)):
        late = time.monotonic() - begin - number / rate
        # What the client itself delays would be put down to the proxies.
        if late > 2:
            sys.exit(f"this machine is too busy: the client is {late:.1f} s late")
        await asyncio.sleep(-late)
        tasks.append(asyncio.create_task(request()))
    await asyncio.gather(*tasks)
    return done


if __name__ == "__main__":
    if sys.argv[1] == "steady":
        print(json.dumps(asyncio.run(steady(int(sys.argv[2]), *map(float, sys.argv[3:])))))
    elif sys.argv[1] == "handshakes":
        print(json.dumps(handshakes(int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])))
    else:
        idle(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

"""WebSockets by the library `websockets` on both ends: `server` prints its address and serves without TLS, `client EDGE HOST
CERTIFICATE` talks to it through an edge and says "all is well". The library checks every frame that it reads (RFC 6455)."""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

LARGE = 8 << 20


async def echo(socket):
    try:
        async for message in socket:
            await answer(socket, message)
    except ConnectionClosed:
        pass  # Codes other than 1000 and 1001 are errors to the library.


async def answer(socket, message):
    if message == "close 4321":
        await socket.close(4321, "as you wish")
    elif message == "ping":
        waiter = await socket.ping(b"are you there")
        await waiter
        await socket.send("pong came")
    else:
        await socket.send(message)


def choose(connection, request):
    if request.path == "/forbidden":
        return connection.respond(403, "no\n")
    return None


async def server():
    async with serve(echo, "127.0.0.1", 0, subprotocols=["chat"], process_request=choose, max_size=2 * LARGE) as running:
        host, port = running.sockets[0].getsockname()[:2]
        print(f"{host}:{port}", flush=True)
        await running.serve_forever()


async def client(edge, name, certificate):
    with open(certificate, "rb") as file:
        trust = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(file.read()))
    host, port = edge.rsplit(":", 1)

    def call(path="/chat", **options):
        options = {"max_size": 2 * LARGE, "subprotocols": ["chat"], **options}
        return connect(f"wss://{name}{path}", host=host, port=int(port), ssl=trust, server_hostname=name, proxy=None, **options)

    for compression in (None, "deflate"):
        async with call(compression=compression) as socket:
            assert socket.subprotocol == "chat"
            deflated = "permessage-deflate" in socket.response.headers.get("Sec-WebSocket-Extensions", "")
            assert deflated == (compression == "deflate"), socket.response.headers
            lengths = (125, 126, 65535, 65536)
            for message in ("", "hello", "\u00fcml\u00e4ut \U0001f30d", b"", bytes(range(256)), *(b"x" * n for n in lengths)):
                await socket.send(message)
                assert await socket.recv() == message, message[:20]
            # In fragments, text and bytes, an empty one among them.
            await socket.send(["frag", "", "ments"])
            assert await socket.recv() == "fragments"
            await socket.send([b"x" * 70000] * 20)
            assert await socket.recv() == b"x" * 1400000
            large = bytes(LARGE)
            await socket.send(large)
            assert await socket.recv() == large
            # Pings of both sides, one of ours amid the fragments of a message.
            waiter = await socket.ping(b"ours")
            await waiter
            await socket.send("ping")
            assert await socket.recv() == "pong came"

            async def pieces():
                yield "before "
                await (await socket.ping(b"amid"))
                yield "after"

            await socket.send(pieces())
            assert await socket.recv() == "before after"
            # Many at once, in order.
            for number in range(500):
                await socket.send(str(number))
            for number in range(500):
                assert await socket.recv() == str(number)
    # Close codes of both sides.
    async with call() as socket:
        await socket.send("close 4321")
        try:
            await socket.recv()
            raise AssertionError("it was to close")
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason, closed.rcvd_then_sent) == (4321, "as you wish", True)
    async with call() as socket:
        await socket.close(4000, "enough")
        assert (socket.close_code, socket.close_reason) == (4000, "enough")
    # A refusal is the backend's own answer.
    try:
        async with call("/forbidden"):
            raise AssertionError("it was to be refused")
    except InvalidStatus as refused:
        assert (refused.response.status_code, refused.response.body) == (403, b"no\n"), refused.response
    # Many connections at once.
    async def one(number):
        async with call(compression=None) as socket:
            await socket.send(str(number))
            return await socket.recv() == str(number)

    assert all(await asyncio.gather(*(one(number) for number in range(50))))
    print("all is well")


if sys.argv[1] == "server":
    asyncio.run(server())
else:
    asyncio.run(client(*sys.argv[2:]))

"""gRPC by grpcio on both ends: `server` prints its address and serves without TLS, `client EDGE HOST CERTIFICATE` calls it
through an edge and says "all is well"."""

import ssl
import sys
import time
from concurrent import futures

import grpc


def echo(request, context):
    return request


def refuse(request, context):
    context.set_trailing_metadata((("x-why", "because"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")


def slow(request, context):
    time.sleep(5)
    return request


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def total(requests, context):
    return str(sum(int(request) for request in requests)).encode()


def chat(requests, context):
    for request in requests:
        yield request.upper()


HANDLERS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Total": grpc.stream_unary_rpc_method_handler(total),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
}


def server():
    running = grpc.server(futures.ThreadPoolExecutor(8))
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("check.Check", HANDLERS),))
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    print(f"127.0.0.1:{port}", flush=True)
    running.wait_for_termination()


def expect(code, call):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        return error
    raise AssertionError(f"{code} was expected")


def client(edge, host, certificate):
    with open(certificate, "rb") as file:
        roots = ssl.DER_cert_to_PEM_cert(file.read()).encode()
    options = (("grpc.ssl_target_name_override", host), ("grpc.default_authority", host))
    channel = grpc.secure_channel(edge, grpc.ssl_channel_credentials(roots), options)
    name = "/check.Check/"
    limit = {"timeout": 20}
    assert channel.unary_unary(name + "Echo")(b"hello", **limit) == b"hello"
    large = bytes(3_000_000)
    assert channel.unary_unary(name + "Echo")(large, **limit) == large
    refused = expect(grpc.StatusCode.FAILED_PRECONDITION, lambda: channel.unary_unary(name + "Refuse")(b"", **limit))
    assert refused.details() == "not today"
    assert ("x-why", "because") in [tuple(pair) for pair in refused.trailing_metadata()]
    expect(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: channel.unary_unary(name + "Slow")(b"", timeout=0.5))
    expect(grpc.StatusCode.UNIMPLEMENTED, lambda: channel.unary_unary(name + "Nothing")(b"", **limit))
    assert list(channel.unary_stream(name + "Count")(b"100", **limit)) == [str(n).encode() for n in range(100)]
    assert channel.stream_unary(name + "Total")((str(n).encode() for n in range(100)), **limit) == b"4950"

    def words():
        for word in (b"one", b"two", b"three"):
            yield word
            time.sleep(0.05)

    assert list(channel.stream_stream(name + "Chat")(words(), **limit)) == [b"ONE", b"TWO", b"THREE"]
    print("all is well")


if sys.argv[1] == "server":
    server()
else:
    client(*sys.argv[2:])

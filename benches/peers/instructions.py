"""Instructions that a request costs, counted by callgrind: repeatable where time is not.

    make instructions                  counts, and fails where a case costs 5 % more than benches/instructions.json says
    make instructions ARGS=--update    records what was counted
    make instructions ARGS=--bare      counts the engine without Causeway, as `make bench-compare` builds it, and compares nothing

A release of Causeway runs under valgrind with one worker; of its threads only the one that serves counts, so that what the
control plane does meanwhile does not. The same requests go one after the other, after others have warmed everything up.
"""

import argparse
import http.client
import json
import re
import shutil
import socket
import sys

from . import contestants, world
from .clients import HEADERS, HOST, context, frame, read_h2
from .contestants import Plan
from .process import Failed

RECORDED = world.ROOT / "benches" / "instructions.json"
WARM_UP, COUNTED = 200, 500
TOLERANCE = 0.05

# Where a processor copies strings fast by itself, glibc lets it, and each byte counts as an instruction: a copy of 16 KiB would
# weigh as much as a TLS record, and on other processors a twentieth of that.
TUNABLES = "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000"


def main():
    parser = argparse.ArgumentParser(prog="peers.instructions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="record what was counted")
    parser.add_argument("--binary", default=Plan.binary, help="another build than target/release/causeway")
    parser.add_argument("--bare", action="store_true", help="count target/release/bare-engine, the engine without Causeway")
    arguments = parser.parse_args()
    if arguments.bare:
        for name, request in CASES.items():
            print(f"{name:24} {count(request, Plan.binary, 'bare engine'):>9,} instructions a request")
        return
    counted = {name: count(request, arguments.binary) for name, request in CASES.items()}
    if arguments.update:
        RECORDED.write_text(json.dumps(counted, indent=1) + "\n")
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    worse = []
    for name, instructions in counted.items():
        before = recorded.get(name)
        change = f"{100 * (instructions / before - 1):+.1f} %" if before else "not recorded"
        print(f"{name:24} {instructions:>9,} instructions a request   {change}")
        if not before or instructions > before * (1 + TOLERANCE):
            worse.append(name)
    if worse:
        sys.exit(f"error: over the recorded figure by more than 5 %: {', '.join(worse)}. If it is worth it: make instructions ARGS=--update")


def count(requests, binary, kind="Causeway"):
    """Instructions of the serving thread for one request."""
    world.FOLDER.mkdir(parents=True, exist_ok=True)
    folder = world.FOLDER / "callgrind"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    endpoints = world.three_endpoints()
    backend = world.backend("backend", endpoints)
    values = {key: str(path) for key, path in world.certificate().items()}
    command = ["env", f"GLIBC_TUNABLES={TUNABLES}", "valgrind", "--tool=callgrind", "--separate-threads=yes", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
    plan = Plan(values=values, endpoints=endpoints, hosts=10, binary=binary, before=tuple(command))
    try:
        edge = contestants.start(kind, plan)
        try:
            requests(edge.port, WARM_UP)
            pid = str(edge.process.popen.pid)
            world.run("callgrind_control", "--instr=on", pid)
            requests(edge.port, COUNTED)
            world.run("callgrind_control", "--instr=off", pid)
            world.run("callgrind_control", "--dump", pid)
        finally:
            edge.process.end()
    finally:
        backend.end()
    totals = {}
    for path in folder.glob("out*"):
        text = path.read_text(errors="replace")
        total = re.search(r"^totals: (\d+)", text, re.M)
        thread = re.search(r"^thread: (\d+)", text, re.M)
        if total and thread:
            totals[thread[1]] = totals.get(thread[1], 0) + int(total[1])
    if not totals:
        raise Failed(f"callgrind left nothing behind in {folder}")
    # By far the busiest is the one that serves.
    return max(totals.values()) // COUNTED


def http1(port, number):
    """Requests on one HTTP/1.1 connection."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context("http/1.1"), timeout=60)
    for _ in range(number):
        connection.request("GET", "/", headers={"Host": HOST, "User-Agent": "instructions", "Accept": "*/*"})
        answer = connection.getresponse()
        if answer.status != 200 or len(answer.read()) != len(world.TEXT):
            raise Failed(f"an answer was wrong: {answer.status}")
    connection.close()


def http2(port, number):
    """Requests on one HTTP/2 connection, a stream after the other."""
    stream = context("h2").wrap_socket(socket.create_connection(("127.0.0.1", port), 60), server_hostname=HOST)
    stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(4, 1, 0, b""))
    for n in range(number):
        stream.sendall(frame(1, 5, 2 * n + 1, HEADERS))
        if not read_h2(stream, 2 * n + 1):
            raise Failed("a stream was reset")
    stream.close()


CASES = {"HTTP/1.1 request": http1, "HTTP/2 request": http2}


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"error: {failure}")

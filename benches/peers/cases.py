"""What is measured."""

import contextlib
import json
import random
import subprocess
import sys
import os
from dataclasses import dataclass, field, replace
from typing import Callable

from . import contestants, load, world

# What fits into 20,000 file descriptors where a proxy counts two for each client, as HAProxy does.
IDLE_CONNECTIONS = 9_000


@dataclass
class Entry:
    """A contestant in one case: its label in the table, what it is, and what differs from the plan of all."""

    label: str
    kind: str
    changes: dict = field(default_factory=dict)

    def start(self, plan):
        return contestants.start(self.kind, replace(plan, values=dict(plan.values), **self.changes), self.label)


ALL = [Entry(name, name) for name in ["Causeway", "bare engine", *contestants.PEERS]]
PEERS_ONLY = [entry for entry in ALL if entry.kind != "bare engine"]


@dataclass
class Case:
    """One kind of work. `load` gives it to a contestant for so many seconds; `alone` cases have each process for themselves."""

    title: str
    command: str
    load: Callable = None
    entries: list = field(default_factory=lambda: ALL)
    geo: bool = True
    alone: Callable = None
    # Which contestant the ratios are of.
    subject: str = "Causeway"
    unit: str = "µs"

    def turn(self, entry, plan, env):
        return self.alone(entry, plan, env)


def idle(kind):
    """Memory for each connection that has made one request and waits."""

    def measure(entry, plan, env):
        contestant = entry.start(plan)
        try:
            load.h2load(f"{contestant.url}/", env, 4, 1, requests=2000, h1=kind == "h1")
            before = contestant.process.memory()
            with held(contestant.port, kind, env):
                after = contestant.process.memory()
        finally:
            contestant.process.end()
        return {"memory": (after - before) / IDLE_CONNECTIONS, "before": before / 1024, "after": after / 1024}

    return measure


@contextlib.contextmanager
def held(port, kind, env):
    """Connections that are open, each after one request."""
    command = [sys.executable, "-m", "peers.clients", "idle", str(port), str(IDLE_CONNECTIONS), kind]
    clients = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **env, "PYTHONPATH": str(world.ROOT / "benches")},
    )
    try:
        said = json.loads(clients.stdout.readline() or "{}")
        if said.get("open") != IDLE_CONNECTIONS or said.get("failed"):
            raise load.Failed(f"not all connections stand: {said}")
        yield
    finally:
        clients.kill()
        clients.wait()


def popular_hosts(hosts):
    """A script for wrk: requests for hosts by Zipf's law, made before so that making them costs nothing later."""
    path = world.FOLDER / f"hosts-{hosts}.lua"
    if not path.exists():
        rng = random.Random(7)
        drawn = [int(hosts ** rng.random()) * 7919 % hosts for _ in range(20_000)]
        names = ", ".join(f'"{world.HOST if n == 0 else f"shop-{n}.example.com"}"' for n in drawn)
        path.write_text(
            f"local hosts = {{{names}}}\nlocal requests, turn = {{}}, 0\n"
            'function init() for i, host in ipairs(hosts) do requests[i] = "GET / HTTP/1.1\\r\\nHost: " .. host .. "\\r\\n\\r\\n" end end\n'
            "function request() turn = turn % #requests + 1; return requests[turn] end\n"
        )
    return path


def hosts_load(contestant, env, seconds):
    return load.wrk(f"{contestant.url}/", seconds, env=env, script=popular_hosts(contestant.hosts))


CASES = {
    "h1": Case(
        "HTTP/1.1 over TLS, 32 connections that are kept, answers of 103 bytes",
        "wrk -t1 -c32",
        lambda c, env, s: load.wrk(f"{c.url}/", s, env=env),
    ),
    "h2": Case(
        "HTTP/2 over TLS, 16 connections with 32 streams each, answers of 103 bytes",
        "h2load -t1 -c16 -m32",
        lambda c, env, s: load.h2load(f"{c.url}/", env, 16, 32, seconds=s),
    ),
    "full": Case(
        "A full TLS 1.3 handshake for every request",
        "peers/clients.py, 4 connections at a time",
        lambda c, env, s: load.handshakes(c.port, env, s, resumed=False),
    ),
    "resumed": Case(
        "A resumed TLS 1.3 handshake for every request",
        "peers/clients.py, 4 connections at a time",
        lambda c, env, s: load.handshakes(c.port, env, s, resumed=True),
    ),
    "64k": Case(
        "HTTP/1.1 over TLS, answers of 64 KiB",
        "wrk -t1 -c32",
        lambda c, env, s: load.wrk(f"{c.url}/64k", s, env=env),
    ),
    "100m": Case(
        "HTTP/1.1 over TLS, answers of 100 MiB, two at a time",
        "h2load --h1 -c2 -m1 -n8",
        lambda c, env, s: load.h2load(f"{c.url}/100m", env, 2, 1, requests=8, h1=True),
    ),
    "idle-h1": Case("Memory for an idle TLS connection, HTTP/1.1", "peers/clients.py", alone=idle("h1"), entries=ALL, unit="KiB"),
    "idle-h2": Case("Memory for an idle TLS connection, HTTP/2", "peers/clients.py", alone=idle("h2"), entries=ALL, unit="KiB"),
    "hosts": Case(
        "How many hosts there are, asked for by Zipf's law (h1)",
        "wrk -t1 -c32",
        hosts_load,
        entries=[
            Entry("100,000 hosts", "Causeway", {"hosts": 100_000}),
            Entry("10,000 hosts", "Causeway", {"hosts": 10_000}),
            Entry("10 hosts", "Causeway", {"hosts": 10}),
        ],
        subject="100,000 hosts",
    ),
    "half": Case(
        "HTTP/1.1 over TLS at 8,000 requests/s, about half of what one processor can",
        "h2load --h1 -c32 --rps",
        lambda c, env, s: load.h2load(f"{c.url}/", env, 32, 1, seconds=s, h1=True, rate=250),
        entries=PEERS_ONLY,
    ),
}

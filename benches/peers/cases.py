"""What is measured."""

import random
from dataclasses import dataclass, field, replace
from typing import Callable

from . import alone, contestants, load, pair, world


@dataclass
class Entry:
    """A contestant in one case: its label in the table, what it is, and what differs from the plan of all."""

    label: str
    kind: str
    changes: dict = field(default_factory=dict)
    starter: Callable = contestants.start

    def start(self, plan):
        return self.starter(self.kind, replace(plan, values=dict(plan.values), **self.changes), self.label)


ALL = [Entry(name, name) for name in ["Causeway", "bare engine", *contestants.PEERS]]
# What Causeway may add to its engine.
ADDED = {"bare engine": (1.15, 1.08)}
PEERS_ONLY = [entry for entry in ALL if entry.kind != "bare engine"]


@dataclass
class Case:
    """One kind of work.

    `load` gives it to a contestant for so many seconds, and what that cost is compared. Other cases measure something else, `alone`:
    each contestant by itself, which gives figures by their names.
    """

    title: str
    command: str
    load: Callable = None
    entries: list = field(default_factory=lambda: ALL)
    geo: bool = True
    alone: Callable = None
    # Which contestant the ratios are of.
    subject: str = "Causeway"
    # By contestant: what the subject's processor time over it must be at most, and what is aimed at.
    aims: dict = field(default_factory=dict)


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
        aims={"nginx": (1.15, 1.0), "HAProxy": (1.25, 1.0), "Envoy": (0.48, 0.4), "Traefik": (0.42, 0.35), **ADDED},
    ),
    "h2": Case(
        "HTTP/2 over TLS, 16 connections with 32 streams each, answers of 103 bytes",
        "h2load -t1 -c16 -m32",
        lambda c, env, s: load.h2load(f"{c.url}/", env, 16, 32, seconds=s),
        aims={"nginx": (0.95, 0.8), "HAProxy": (1.8, 1.3), "Envoy": (0.5, 0.4), "Traefik": (0.28, 0.2), **ADDED},
    ),
    "full": Case(
        "A full TLS 1.3 handshake for every request",
        "peers/clients.py, 4 connections at a time",
        lambda c, env, s: load.handshakes(c.port, env, s, resumed=False),
        aims={"nginx": (0.75, 0.65), "HAProxy": (0.75, 0.65), **ADDED},
    ),
    "resumed": Case(
        "A resumed TLS 1.3 handshake for every request",
        "peers/clients.py, 4 connections at a time",
        lambda c, env, s: load.handshakes(c.port, env, s, resumed=True),
        aims={"nginx": (1.0, 0.8), "HAProxy": (1.0, 0.8), **ADDED},
    ),
    "64k": Case(
        "HTTP/1.1 over TLS, answers of 64 KiB",
        "wrk -t1 -c32",
        lambda c, env, s: load.wrk(f"{c.url}/64k", s, env=env),
        aims={"nginx": (1.05, 0.8), **ADDED},
    ),
    "100m": Case(
        "HTTP/1.1 over TLS, answers of 100 MiB, two at a time",
        "h2load --h1 -c2 -m1 -n8",
        lambda c, env, s: load.h2load(f"{c.url}/100m", env, 2, 1, requests=8, h1=True),
        aims={"nginx": (1.05, 0.8), **ADDED},
    ),
    "idle-h1": Case(f"Memory of {alone.IDLE:,} TLS connections that wait, HTTP/1.1", "peers/clients.py", alone=alone.idle("h1")),
    "idle-h2": Case(f"Memory of {alone.IDLE:,} TLS connections that wait, HTTP/2", "peers/clients.py", alone=alone.idle("h2")),
    "size": Case(
        "Memory of 10,000 hosts",
        "peers/alone.py",
        alone=alone.size,
        entries=[Entry("and 1,000 certificates", "Causeway", {"certificates": 1000}), Entry("and one certificate", "Causeway")],
    ),
    "reload": Case(
        "How long requests take while all of 10,000 routes change, again and again",
        f"h2load --h1 -c8 --rps, {alone.RELOAD_RATE:,} requests/s",
        alone=alone.reload,
        entries=[Entry("Causeway", "Causeway")],
    ),
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
        aims={"10 hosts": (1.05, None)},
    ),
    "edge": Case(
        "Across a peer edge: two Causeways in a row, both counted (h1)",
        "wrk -t1 -c32",
        lambda c, env, s: load.wrk(f"{c.url}/", s, env=env),
        entries=[Entry("two edges in a row", "Causeway", starter=pair.start), Entry("one edge", "Causeway")],
        subject="two edges in a row",
        aims={"one edge": (2.2, None)},
    ),
    "workers": Case(
        "Two workers on two processors, one of them the load generator's too (h1)",
        "wrk -t1 -c32",
        lambda c, env, s: load.wrk(f"{c.url}/", s, env=env),
        entries=[
            Entry("two workers", "Causeway", {"workers": 2, "cpus": frozenset(world.PROXY_CPU | world.LOAD_CPU)}),
            Entry("one worker", "Causeway"),
        ],
        subject="two workers",
        aims={"one worker": (1.1, None)},
    ),
    "half": Case(
        "HTTP/1.1 over TLS at 8,000 requests/s, about half of what one processor can",
        "h2load --h1 -c32 --rps",
        lambda c, env, s: load.h2load(f"{c.url}/", env, 32, 1, seconds=s, h1=True, rate=250),
        entries=PEERS_ONLY,
    ),
}

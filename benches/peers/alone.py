"""What is measured of a contestant by itself: memory, and what a reload does to those who ask meanwhile."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time

from . import load, world

# What fits into 20,000 file descriptors where a proxy counts two for each client, as HAProxy does.
IDLE = 9_000

# Well below what one processor can, with its clients on the other.
RELOAD_RATE = 4_000
RELOADS = 5
RELOAD_PAUSE = 2


def idle(kind):
    """Memory for each connection that has made one request and waits."""

    def measure(entry, plan, env):
        contestant = entry.start(plan)
        try:
            load.h2load(f"{contestant.url}/", env, 4, 1, requests=2000, h1=kind == "h1")
            before = contestant.process.memory()
            with held(contestant.port, kind, env) as count:
                after = contestant.process.memory()
        finally:
            contestant.process.end()
        # Not all take so many.
        return {"connections": count, "KiB for each": (after - before) / count, "MiB before": before / 1024, "MiB with them": after / 1024}

    return measure


@contextlib.contextmanager
def held(port, kind, env):
    """Connections that are open, each after one request: how many."""
    command = [sys.executable, "-m", "peers.clients", "idle", str(port), str(IDLE), kind]
    clients = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **env, "PYTHONPATH": str(world.ROOT / "benches")},
    )
    try:
        said = json.loads(clients.stdout.readline() or "{}")
        if said.get("open", 0) < IDLE / 10 or said.get("failed"):
            raise load.Failed(f"too few connections stand: {said}")
        yield said["open"]
    finally:
        clients.kill()
        clients.wait()


def size(entry, plan, env):
    """Memory of the whole process, after some load."""
    contestant = entry.start(plan)
    try:
        for case in ({"h1": True}, {}):
            load.h2load(f"{contestant.url}/", env, 32, 1, requests=20_000, **case)
        return {"MiB": contestant.process.memory() / 1024}
    finally:
        contestant.process.end()


def reload(entry, plan, env):
    """Latencies with and without reloads: every Ingress's path changes, to another that what is asked for lies below, too."""
    folders = []
    for number, path in enumerate(("/", "/v2")):
        folders.append(world.FOLDER / f"reload-{number}")
        world.fleet(folders[-1], plan.hosts, plan.endpoints, path=path)
    contestant = entry.start(plan)
    manifests = world.FOLDER / str(contestant.port) / "fleet" / "here"
    seconds = RELOAD_PAUSE * (RELOADS + 1)
    moments = []

    def change():
        for number in range(1, RELOADS + 1):
            time.sleep(RELOAD_PAUSE)
            moments.append(time.time())
            for source in sorted((folders[number % 2] / "here").iterdir()):
                spare = manifests / f".{source.name}"
                spare.write_bytes(source.read_bytes())
                spare.replace(manifests / source.name)

    def latencies(during):
        thread = threading.Thread(target=during)
        thread.start()
        log = load.h2load(f"{contestant.url}/v2/", env, 8, 1, seconds=seconds, h1=True, rate=RELOAD_RATE // 8).log
        thread.join()
        return log

    try:
        quiet = [took for _, took in latencies(lambda: None)]
        log = latencies(change)
    finally:
        contestant.process.end()
    # A reload is over long before the next one.
    busy = [took for began, took in log if any(moment <= began < moment + RELOAD_PAUSE / 2 for moment in moments)]
    return {
        f"{name}, {what} ms": value * 1e3
        for what, values in (("quiet", quiet), ("reload", busy))
        for name, value in (("p50", statistics.median(values)), ("p99", sorted(values)[len(values) * 99 // 100]), ("most", max(values)))
    }

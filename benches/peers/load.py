"""The load generators, pinned to the processor beside the proxy's, and what they say."""

import json
import os
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass, field

from . import world
from .process import Failed

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass
class Result:
    """What one round of load was: requests that were answered with 200, seconds, and latencies in seconds."""

    requests: int
    seconds: float
    p50: float = float("nan")
    p99: float = float("nan")
    # When each began, in seconds since 1970, and how long it took.
    log: list = field(default_factory=list)


def generator(command, env, timeout):
    """Runs a load generator on its processor."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **env},
        preexec_fn=lambda: os.sched_setaffinity(0, world.LOAD_CPU),
    )
    if done.returncode:
        raise Failed(f"{command[0]} failed: {done.stdout[-800:]} {done.stderr[-800:]}")
    return done.stdout


def wrk(url, seconds, connections=32, env=None, script=None):
    """HTTP/1.1 over connections that are kept."""
    more = ["-s", script] if script else []
    text = generator(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *more, url], env or {}, seconds + 30)
    if "Non-2xx" in text or "Socket errors" in text:
        raise Failed(f"requests failed: {text}")

    def percentile(which):
        value, unit = re.search(rf"^\s+{which}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.M).groups()
        return float(value) * UNITS[unit]

    requests, took, unit = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m),", text).groups()
    return Result(int(requests), float(took) * UNITS[unit], percentile(50), percentile(99))


def h2load(url, env, connections, streams, seconds=None, requests=None, h1=False, rate=None):
    """HTTP/2 (or 1.1) over `connections` with `streams` requests at a time on each: for so long, or so many."""
    # In a folder of its own: Causeway watches the one that its certificate lies in, and would look up at every line.
    log = world.FOLDER / "load" / "h2load.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    amount = ["-D", seconds] if seconds else ["-n", requests]
    more = (["--h1"] if h1 else []) + (["--rps", rate] if rate else [])
    command = ["h2load", "-t1", "-c", connections, "-m", streams, *amount, *more, f"--log-file={log}", url]
    text = generator(command, env, (seconds or 60) + 30)
    counts = re.search(r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed", text)
    if not counts or int(counts[5]) or not int(counts[4]):
        raise Failed(f"requests failed: {text}")
    took, unit = re.search(r"finished in ([\d.]+)(us|ms|s|m),", text).groups()
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    requests = [(int(row[0]) / 1e6, int(row[2]) / 1e6) for row in rows if row[1] == "200"]
    latencies = sorted(latency for _, latency in requests)
    p50, p99 = (latencies[int(len(latencies) * q)] for q in (0.5, 0.99))
    return Result(int(counts[4]), float(took) * UNITS[unit], p50, p99, requests)


def handshakes(port, env, seconds, resumed):
    """A handshake for every request, full or resumed."""
    text = clients(["handshakes", port, seconds, "resumed" if resumed else "full"], env, seconds + 30)
    if text["failed"] or (resumed and text["resumed"] < 0.99 * text["requests"]) or (not resumed and text["resumed"]):
        raise Failed(f"these are not the handshakes that were asked for: {text}")
    return Result(text["requests"], text["seconds"], text["p50"], text["p99"])


def clients(arguments, env, timeout):
    """Runs one of the loads of clients.py."""
    command = [sys.executable, "-m", "peers.clients", *arguments]
    return json.loads(generator(command, {**env, "PYTHONPATH": str(world.ROOT / "benches")}, timeout))


def median(values):
    """The median of what is a number."""
    return statistics.median(values) if values else float("nan")

"""The load that profile-guided optimisation learns from, for builds that count (`RUSTFLAGS=-Cprofile-generate=FOLDER`).

    PYTHONPATH=benches python3 -m peers.train CAUSEWAY BARE-ENGINE

Every kind of work that Causeway does all day: both versions of HTTP, handshakes, small and large answers, many hosts, another
edge. The bare engine is trained alike, so that the two can be compared.
"""

import argparse
import signal
import subprocess

from . import world
from .cases import CASES, Entry
from .contestants import Plan
from .process import Failed, end_in_order

SECONDS = 4
# How long writing the counts down may take.
PATIENCE = 60


def main():
    parser = argparse.ArgumentParser(prog="peers.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("causeway")
    parser.add_argument("bare")
    arguments = parser.parse_args()
    world.FOLDER.mkdir(parents=True, exist_ok=True)
    backends = world.three_endpoints()
    backend = world.backend("backend", backends)
    try:
        values = {key: str(path) for key, path in world.certificate().items()}
        values["causeway_geo"] = f"database: {world.geo_database()}"
        plan = Plan(values=values, endpoints=backends, binary=arguments.causeway, bare=arguments.bare)
        everything = ["h1", "h2", "full", "resumed", "64k", "100m"]
        train(Entry("Causeway", "Causeway"), plan, [*everything, "hosts"])
        train(next(entry for entry in CASES["edge"].entries if entry.label.startswith("two")), plan, ["edge"])
        train(Entry("bare engine", "bare engine"), plan, everything)
    finally:
        backend.end()


def train(entry, plan, cases):
    """Gives work of all these kinds to one contestant, and lets it end in order, since what it counted is written down at its end."""
    contestant = entry.start(plan)
    try:
        env = world.tls_of_clients()
        for name in cases:
            print(f"{entry.label}: {CASES[name].title}", flush=True)
            CASES[name].load(contestant, env, SECONDS)
        for process in contestant.process.all():
            process.popen.send_signal(signal.SIGINT)
            try:
                process.popen.wait(PATIENCE)
            except subprocess.TimeoutExpired as late:
                raise Failed(f"{process.name} does not end") from late
    finally:
        contestant.process.end()


if __name__ == "__main__":
    end_in_order()
    main()

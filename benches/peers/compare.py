"""Same work through Causeway and its peers, in one run and in turn, and what it cost each of them.

    make bench-compare                      every case; writes the tables of docs/performance.md
    make bench-compare ARGS='h1 h2'         these cases, and the tables anew
    make bench-compare ARGS='h1 --only nginx,HAProxy --rounds 9'

What lasts on a noisy machine is processor time for a request, as a ratio: each round measures all contestants one after the
other, so that what slows the machine slows all of them, and of the ratios of the rounds the median counts.
"""

import argparse
import contextlib
import json
import sys
import time

from . import contestants, load, report, world
from .cases import CASES
from .contestants import Plan
from .process import Failed, end_in_order

RESULTS = world.FOLDER / "compare.json"
PGO = [world.ROOT / "target" / "pgo" / name for name in ("causeway", "bare-engine")]


def main():
    arguments = parse()
    world.FOLDER.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not arguments.report:
        run_all(arguments, results)
    if not arguments.keep_docs:
        report.write_comparison(results, contestants.versions())


def parse():
    parser = argparse.ArgumentParser(prog="peers.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}; all of them unless said otherwise")
    parser.add_argument("--only", default="", help="only these contestants, comma-separated, and Causeway")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contestant has its turn (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="how long a turn lasts (default: %(default)s)")
    parser.add_argument("--pgo", action="store_true", help="the builds that `make pgo` has left in target/pgo")
    parser.add_argument("--binary", help="another build of Causeway than target/release/causeway")
    parser.add_argument("--report", action="store_true", help="measure nothing; write the tables from the last results")
    parser.add_argument("--keep-docs", action="store_true", help="print, and leave docs/performance.md as it is")
    arguments = parser.parse_args()
    missing = [str(path) for path in PGO if arguments.pgo and not path.exists()]
    if missing:
        parser.error(f"--pgo: {' and '.join(missing)} missing; `make pgo` builds them")
    unknown = [case for case in arguments.cases if case not in CASES]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    return arguments


def run_all(arguments, results):
    """Measures the cases, and keeps the results after each."""
    backends = world.three_endpoints()
    backend = world.backend("backend", backends)
    try:
        values = {key: str(path) for key, path in world.certificate().items()}
        env = world.tls_of_clients()
        for name in arguments.cases or CASES:
            case = CASES[name]
            print(f"\n{case.title}", flush=True)
            results[name] = {"when": time.strftime("%Y-%m-%d", time.gmtime()), **measure(case, arguments, values, backends, env)}
            RESULTS.write_text(json.dumps(results, indent=1))
            print(report.case_table(case, results[name]), flush=True)
    finally:
        backend.end()


def measure(case, arguments, values, backends, env):
    """All rounds of one case."""
    wanted = {name for name in arguments.only.split(",") if name}
    entries = [e for e in case.entries if not wanted or e.label in wanted or e.kind == "Causeway"]
    plan = Plan(values=dict(values), endpoints=backends)
    if arguments.pgo:
        plan.binary, plan.bare = PGO
    if arguments.binary:
        plan.binary = arguments.binary
    if case.geo:
        plan.values["causeway_geo"] = f"database: {world.geo_database()}"
    if case.alone:
        return {"rounds": {entry.label: [case.alone(entry, plan, env)] for entry in entries}}
    with contextlib.ExitStack() as running:
        started = []
        for entry in entries:
            contestant = entry.start(plan)
            running.callback(contestant.process.end)
            started.append((entry, contestant))
        for _, contestant in started:
            case.load(contestant, env, 2)
        rounds = {entry.label: [] for entry in entries}
        for number in range(arguments.rounds):
            for entry, contestant in started:
                rounds[entry.label].append(turn(case, contestant, env, arguments.seconds))
            print(f"  round {number + 1}: " + "  ".join(f"{k} {v[-1]['cpu']:.1f}" for k, v in rounds.items()), flush=True)
        return {"rounds": rounds}


def turn(case, contestant, env, seconds):
    """One contestant's turn."""
    before = contestant.process.cpu()
    result = case.load(contestant, env, seconds)
    used = contestant.process.cpu() - before
    return {
        "cpu": used / result.requests * 1e6,
        "rate": result.requests / result.seconds,
        "p50": result.p50 * 1e3,
        "p99": result.p99 * 1e3,
    }


if __name__ == "__main__":
    end_in_order()
    try:
        main()
    except Failed as failure:
        sys.exit(f"error: {failure}")

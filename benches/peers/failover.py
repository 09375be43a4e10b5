"""The same fault for Causeway and its peers, and what their clients saw of it.

    make failover-report                    every fault; writes the tables of docs/reliability.md
    make failover-report ARGS='stall'       one of them

Three preferred and three fallback backends, each a process of its own; 200 GET/s over HTTPS connections that are kept, for each
proxy by itself; the fault at second 5, healed at second 20. A request fails if it is not answered with 200 within 3 s.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

from . import contestants, report, world
from .contestants import Plan
from .process import Failed, end_in_order, free_port

FAULT, HEALED, END = 5, 20, 30
RATE, LIMIT = 200, 3
RESULTS = world.FOLDER / "failover.json"

FAULTS = {
    "killed": ("preferred group killed", signal.SIGKILL, 3),
    "stall": ("preferred group stalls (accepts, never answers)", signal.SIGSTOP, 3),
    "two": ("two of three killed", signal.SIGKILL, 2),
}
# A limit for each try, where a peer has one that can be set; it then cuts every request that takes longer, idempotent or not.
TRY_LIMITED = {"nginx": "nginx, 1 s a try", "HAProxy": "HAProxy, 1 s a try", "Envoy": "Envoy, 1 s a try"}


def main():
    parser = argparse.ArgumentParser(prog="peers.failover", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"one of {', '.join(FAULTS)}; all unless said otherwise")
    parser.add_argument("--only", default="", help="only these contestants, comma-separated")
    parser.add_argument("--binary", help="another build of Causeway than target/release/causeway")
    parser.add_argument("--report", action="store_true", help="measure nothing; write the tables from the last results")
    parser.add_argument("--keep-docs", action="store_true", help="print, and leave docs/reliability.md as it is")
    arguments = parser.parse_args()
    unknown = [fault for fault in arguments.faults if fault not in FAULTS]
    if unknown:
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    world.FOLDER.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not arguments.report:
        for fault in arguments.faults or FAULTS:
            print(f"\n{FAULTS[fault][0]}", flush=True)
            for turn in turns(arguments.only):
                results[fault] = {**results.get(fault, {}), **measure(fault, turn, arguments)}
            RESULTS.write_text(json.dumps(results, indent=1))
            print(report.fault_table(results[fault]), flush=True)
    if not arguments.keep_docs:
        report.write_failover(results, {name: title for name, (title, _, _) in FAULTS.items()}, contestants.versions())


def turns(only):
    """Who has its turn together: eight clients at once would be too much for two cores."""
    wanted = set(filter(None, only.split(",")))
    for names in [["Causeway", "nginx", "HAProxy", "Envoy", "Traefik"], list(TRY_LIMITED.values())]:
        turn = [name for name in names if not wanted or name.partition(",")[0] in wanted]
        if turn:
            yield turn


def measure(fault, names, arguments):
    """One fault, for these contestants at once."""
    _, number, count = FAULTS[fault]
    port = free_port()
    groups = [[(f"127.0.2.{n}", port) for n in (1, 2, 3)], [(f"127.0.3.{n}", port) for n in (1, 2, 3)]]
    plan = Plan(values={key: str(path) for key, path in world.certificate().items()}, endpoints=groups[0], hosts=10)
    plan.cpus = frozenset(range(os.cpu_count()))
    if arguments.binary:
        plan.binary = arguments.binary
    env = world.tls_of_clients()
    with contextlib.ExitStack() as running:
        backends = {}
        for group in groups:
            for address in group:
                backends[address] = world.backend(f"backend-{address[0]}", [address])
                running.callback(lambda address=address: backends[address].end())
        started = []
        for name in names:
            values = settings(*groups, try_limit=name in TRY_LIMITED.values())
            kind = name.partition(",")[0]
            contestant = contestants.start(kind, replace(plan, values={**plan.values, **values}), name)
            running.callback(contestant.process.end)
            started.append(contestant)
        # All see each other's checks and learn what is healthy before it begins.
        begin = time.monotonic() + 4
        clients = [(contestant.name, client(contestant, begin, env)) for contestant in started]
        for _, process in clients:
            running.callback(process.kill)
        until(begin + FAULT)
        for address in groups[0][:count]:
            backends[address].signal(number)
        until(begin + HEALED)
        for address in groups[0][:count]:
            if number == signal.SIGSTOP:
                backends[address].signal(signal.SIGCONT)
            else:
                backends[address].end()
                backends[address] = world.backend(f"backend-{address[0]}", [address])
        return {name: sound(name, summary(said(process))) for name, process in clients}


def said(process):
    """What a client saw."""
    out = process.communicate(timeout=60)[0]
    if process.returncode:
        raise Failed("a client gave up, as it says above")
    return json.loads(out)


def until(moment):
    time.sleep(max(0, moment - time.monotonic()))


def client(contestant, begin, env):
    """A client of one contestant."""
    command = [sys.executable, "-m", "peers.clients", "steady", contestant.port, begin, END, RATE, LIMIT]
    more = {**os.environ, **env, "PYTHONPATH": str(world.ROOT / "benches")}
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True, env=more)


def sound(name, found):
    """Refuses what was measured while the machine did too much else: before the fault nothing may fail."""
    before = found["before"]
    if before["failed"] > 0.005 * before["sent"]:
        raise Failed(f"{name}: {before['failed']} of {before['sent']} requests failed before the fault: is this machine busy?")
    return found


def summary(requests):
    """Failed and sent in each phase, and the slowest that did not fail; `requests` are (second, took, failed)."""
    phases = {"before": (0, FAULT), "after": (FAULT, FAULT + 5), "later": (FAULT + 5, HEALED), "return": (HEALED, END)}
    found = {}
    for phase, (start, end) in phases.items():
        part = [(took, failed) for second, took, failed in requests if start <= second < end]
        fine = [took for took, failed in part if not failed]
        found[phase] = {"sent": len(part), "failed": sum(failed for _, failed in part), "slowest": max(fine, default=0)}
    return found


def settings(preferred, fallback, try_limit):
    """Two groups, as each proxy's documentation advises: active checks every second and 3 down, outlier detection, retries."""
    urls = lambda group: ", ".join(f"{{url: 'http://{ip}:{port}'}}" for ip, port in group)
    service = lambda name, group: (
        f"    {name}: {{loadBalancer: {{strategy: p2c, serversTransport: keep, servers: [{urls(group)}], "
        "healthCheck: {path: /health, interval: 1s, timeout: 1s}}}\n"
    )
    checked = "check inter 1s fall 3 rise 1"
    per_try = ", per_try_timeout: 1s" if try_limit else ""
    return {
        "elsewhere": fallback,
        "nginx_servers": "\n        ".join(
            [f"server {ip}:{port} max_fails=3 fail_timeout=10s;" for ip, port in preferred]
            + [f"server {ip}:{port} backup;" for ip, port in fallback]
        ),
        "nginx_retry": "proxy_connect_timeout 1s; proxy_next_upstream error timeout http_502 http_503 http_504;"
        + (" proxy_read_timeout 1s;" if try_limit else ""),
        # nginx has no backups with `random`.
        "nginx_balance": "least_conn;",
        "haproxy_servers": "\n    ".join(
            ["option httpchk GET /health", "option redispatch 1", "retries 3", "option allbackups"]
            + ["retry-on conn-failure empty-response response-timeout 502 503 504"]
            + (["timeout server 1s"] if try_limit else [])
            + [f"server p{n} {ip}:{port} {checked} observe layer7" for n, (ip, port) in enumerate(preferred)]
            + [f"server f{n} {ip}:{port} {checked} backup" for n, (ip, port) in enumerate(fallback)]
        ),
        "envoy_endpoints": contestants.envoy_endpoints(preferred) + "\n" + contestants.envoy_endpoints(fallback, 1),
        "envoy_route": "timeout: 15s, retry_policy: {retry_on: '5xx,reset,connect-failure,refused-stream', num_retries: 3"
        + per_try
        # Half of the tries go to the next priority, as the documentation of retry plugins shows.
        + ", retry_priority: {name: envoy.retry_priorities.previous_priorities, typed_config: {'@type': "
        "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig, "
        "update_frequency: 2}}, retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {'@type': "
        "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}], "
        "host_selection_retry_max_attempts: 5}",
        "envoy_cluster": "health_checks: [{timeout: 1s, interval: 1s, no_traffic_interval: 1s, unhealthy_threshold: 3, "
        "healthy_threshold: 1, http_health_check: {path: /health}}]\n      outlier_detection: {consecutive_5xx: 5, "
        "consecutive_gateway_failure: 5, enforcing_consecutive_gateway_failure: 100, interval: 1s, base_ejection_time: 30s, "
        "max_ejection_percent: 100}",
        "traefik_service": "both",
        "traefik_middlewares": "headers, retry",
        "traefik_services": "    both: {failover: {service: preferred, fallback: fallback}}\n"
        + service("preferred", preferred)
        + service("fallback", fallback),
    }


if __name__ == "__main__":
    end_in_order()
    try:
        main()
    except Failed as failure:
        sys.exit(f"error: {failure}")

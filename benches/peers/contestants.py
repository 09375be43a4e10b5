"""How each proxy is set up and started: one worker, pinned to one processor.

Their settings are files in configs/. Every one adds the same headers, picks among three endpoints by two random choices or by
fewest requests, keeps its connections to them, and writes no access log.
"""

import re
import ssl
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from . import world
from .process import PATIENCE, Failed, Process, free_port

PEERS = ["nginx", "HAProxy", "Envoy", "Traefik", "Caddy"]


@dataclass
class Contestant:
    """A proxy that runs."""

    name: str
    process: Process
    port: int
    admin: int = 0
    hosts: int = 0

    @property
    def url(self):
        return f"https://{world.HOST}:{self.port}"


@dataclass
class Plan:
    """What a contestant is to be started with."""

    values: dict
    endpoints: list
    hosts: int = 10_000
    # So many hosts have a certificate of their own.
    certificates: int = 0
    binary: Path = world.ROOT / "target" / "release" / "causeway"
    bare: Path = world.ROOT / "target" / "release" / "bare-engine"
    cpus: frozenset = frozenset(world.PROXY_CPU)
    workers: int = 1
    # A command that runs the proxy, such as valgrind.
    before: tuple = ()


def start(kind, plan, name=None):
    """Starts a contestant and returns once it takes connections."""
    name = name or kind
    port = free_port()
    values = {**common(plan.endpoints), **plan.values, "port": port, "folder": world.FOLDER / str(port)}
    command, env, admin = STARTERS[kind](plan, values)
    log = world.FOLDER / str(port) / f"{name.replace(' ', '-')}.out"
    log.parent.mkdir(parents=True, exist_ok=True)
    process = Process(name, [str(part) for part in (*plan.before, *command)], plan.cpus, log, env)
    try:
        process.await_port(port)
        return await_answer(Contestant(name, process, port, admin, plan.hosts))
    except Failed:
        process.end()
        raise


def common(endpoints):
    """What the files of configs/ need."""
    urls = [f"http://{ip}:{port}" for ip, port in endpoints]
    return {
        "user": world.me(),
        "nginx_servers": "\n        ".join(f"server {ip}:{port};" for ip, port in endpoints),
        "nginx_balance": "random two least_conn;",
        "nginx_retry": "",
        "haproxy_servers": "\n    ".join(f"server s{n} {ip}:{port}" for n, (ip, port) in enumerate(endpoints)),
        "envoy_endpoints": envoy_endpoints(endpoints),
        "envoy_route": "timeout: 0s",
        "envoy_cluster": "",
        "traefik_service": "backends",
        "traefik_middlewares": "headers",
        "traefik_timeouts": "idleConnTimeout: 600s",
        "traefik_services": "    backends: {loadBalancer: {strategy: p2c, serversTransport: keep, servers: ["
        + ", ".join(f"{{url: '{url}'}}" for url in urls)
        + "]}}",
        "caddy_servers": " ".join(f"{ip}:{port}" for ip, port in endpoints),
        "causeway_geo": "networks: {127.0.0.0/8: DE}",
    }


def envoy_endpoints(endpoints, priority=0):
    """A group of Envoy's endpoints."""
    lines = [
        f"              - endpoint: {{address: {{socket_address: {{address: {ip}, port_value: {port}}}}}}}" for ip, port in endpoints
    ]
    return f"          - priority: {priority}\n            lb_endpoints:\n" + "\n".join(lines)


def nginx(_, values):
    config = world.write("nginx.conf", values, f"{values['port']}/nginx.conf")
    return ["nginx", "-p", world.FOLDER, "-e", config.with_suffix(".log"), "-c", config], None, 0


def haproxy(_, values):
    return ["haproxy", "-db", "-f", world.write("haproxy.cfg", values, f"{values['port']}/haproxy.cfg")], None, 0


def envoy(_, values):
    config = world.write("envoy.yaml", values, f"{values['port']}/envoy.yaml")
    return ["envoy", "--concurrency", 1, "--log-level", "error", "--use-dynamic-base-id", "-c", config], None, 0


def traefik(_, values):
    world.write("traefik-routes.yaml", values, f"{values['port']}/traefik-routes.yaml")
    config = world.write("traefik.yaml", values, f"{values['port']}/traefik.yaml")
    return ["traefik", f"--configFile={config}"], {"GOMAXPROCS": "1"}, 0


def caddy(_, values):
    config = world.write("Caddyfile", values, f"{values['port']}/Caddyfile")
    env = {name: str(config.parent) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    return ["caddy", "run", "--adapter", "caddyfile", "--config", config], {"GOMAXPROCS": "1", **env}, 0


def causeway(plan, values):
    folder = values["folder"] / "fleet"
    world.fleet(folder, plan.hosts, plan.endpoints, elsewhere=values.get("elsewhere"), certificates=plan.certificates)
    admin = free_port()
    values |= {"hosts": plan.hosts, "health_port": free_port(), "admin_port": admin}
    world.write("causeway.yaml", values, folder / "causeway.yaml")
    return [plan.binary, "run", "--config", folder / "causeway.yaml", "--home", "here", "--workers", plan.workers], None, admin


def bare(plan, values):
    backends = [f"{ip}:{port}" for ip, port in plan.endpoints]
    return [plan.bare, f"127.0.0.1:{values['port']}", values["cert"], values["key"], *backends], None, 0


STARTERS = {
    "Causeway": causeway,
    "bare engine": bare,
    "nginx": nginx,
    "HAProxy": haproxy,
    "Envoy": envoy,
    "Traefik": traefik,
    "Caddy": caddy,
}


def await_answer(contestant):
    """Waits until it serves what it is there for: some listen before they know their routes."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    end, last = time.monotonic() + PATIENCE, "nothing"
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{contestant.url}/", timeout=5, context=trusting) as answer:
                if answer.status == 200:
                    return contestant
        except OSError as error:
            last = error
        time.sleep(0.1)
    raise Failed(f"{contestant.name} does not serve ({last}): {contestant.process.log.read_text(errors='replace')[-2000:]}")


def versions():
    """What each program says of itself."""
    commands = {
        "nginx": ["nginx", "-v"],
        "HAProxy": ["haproxy", "-v"],
        "Envoy": ["envoy", "--version"],
        "Traefik": ["traefik", "version"],
        "Caddy": ["caddy", "version"],
    }
    found = {}
    for name, command in commands.items():
        done = subprocess.run(command, capture_output=True, text=True)
        match = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
        found[name] = match.group(0) if match else "?"
    return found

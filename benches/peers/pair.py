"""Two Causeways in a row: the edge that the client reaches has no endpoint of its own, and sends requests on to another cluster's."""

from . import contestants, world
from .process import Failed, Group, Process, free_port

FLEET = "bench"
CLUSTERS = ("here", "there")


def start(_, plan, name):
    """Starts both, and returns once the first serves from behind the second."""
    folder = world.FOLDER / f"pair-{free_port()}"
    world.fleet(folder, plan.hosts, [], elsewhere=plan.endpoints)
    authority(folder, plan.binary)
    ports = {f"{cluster}_peer": free_port() for cluster in CLUSTERS}
    started = []
    try:
        for cluster in reversed(CLUSTERS):
            admin = free_port()
            own = {"port": free_port(), "peer_port": ports[f"{cluster}_peer"], "health_port": free_port(), "admin_port": admin}
            values = {**contestants.common(plan.endpoints), **plan.values, **ports, **own, "fleet": FLEET, "home": cluster}
            config = world.write("causeway-pair.yaml", values, folder / f"{cluster}.yaml")
            command = [plan.binary, "run", "--config", config, "--home", cluster, "--workers", plan.workers]
            started.append(Process(f"{name}, {cluster}", [str(part) for part in command], plan.cpus, folder / f"{cluster}.out"))
            started[-1].await_port(own["port"])
        both = Group(started)
        return contestants.await_answer(contestants.Contestant(name, both, own["port"], admin, plan.hosts))
    except Failed:
        Group(started).end()
        raise


def authority(folder, binary):
    """The fleet's authority, and a certificate for each cluster."""
    world.run(binary, "ca", "init", "--fleet", FLEET, "--dir", folder)
    for cluster in CLUSTERS:
        world.run(binary, "ca", "issue", "--fleet", FLEET, "--dir", folder, "--cluster", cluster)

"""A process on its processor: started, awaited, measured, ended."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 60


class Failed(Exception):
    """Something that the run cannot go on without."""


def end_in_order():
    """Lets whoever ends this program with SIGTERM end what it has started, too: as an exception, which unwinds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def free_port():
    """A port of 127.0.0.1 that the kernel finds free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A program that serves, with all its children."""

    def __init__(self, name, command, cpus, log, env=None):
        self.name, self.log = name, Path(log)
        with self.log.open("wb") as out:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                # A group of its own, so that its children end with it.
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cpus),
            )

    def await_port(self, port, address="127.0.0.1"):
        """Returns once it takes connections."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.popen.poll() is not None:
                raise Failed(f"{self.name} ended at once: {self.log.read_text(errors='replace')[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
                return self
            time.sleep(0.05)
        raise Failed(f"{self.name} does not listen on {address}:{port}: {self.log.read_text(errors='replace')[-2000:]}")

    def all(self):
        """The processes that this is."""
        return [self]

    def pids(self):
        """It and its children, at any depth."""
        found, look = [], [self.popen.pid]
        while look:
            pid = look.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*"):
                with contextlib.suppress(OSError):
                    look += [int(child) for child in (task / "children").read_text().split()]
        return found

    def cpu(self):
        """Processor time so far, user and system, in seconds."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def memory(self):
        """Resident memory in KiB; pages that its processes share count once for each."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmRSS:"):
                        total += int(line.split()[1])
        return total

    def signal(self, number):
        """Sends a signal to it and its children."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self):
        """Ends it; whatever does not end by itself within 3 s is killed."""
        if self.popen.poll() is None:
            # SIGTERM asks some to wait for their clients first.
            self.popen.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(3)
        # Its session's group: what it left behind, too.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


class Group:
    """Several processes that serve together, as one."""

    def __init__(self, processes):
        self.processes = processes
        # What the last one says is what its clients saw.
        self.log = processes[-1].log if processes else None

    def all(self):
        """The processes that this is, whoever serves clients first."""
        return self.processes[::-1]

    def cpu(self):
        """Processor time so far of all of them, in seconds."""
        return sum(process.cpu() for process in self.processes)

    def memory(self):
        """Resident memory of all of them, in KiB."""
        return sum(process.memory() for process in self.processes)

    def end(self):
        """Ends them."""
        for process in self.all():
            process.end()

"""Causeway beside its peers, in one run and in turn: what a request costs (`compare`), and what a fault costs (`failover`).

    python3 -m peers.compare      `make bench-compare`
    python3 -m peers.failover     `make failover-report`
    python3 -m peers.instructions `make instructions`

Only the standard library is used. `.ci/need` installs the peers and the load generators, pinned by hash.

    world.py        what all share: the certificate, the backends, the fleet of 10,000 hosts
    contestants.py  how each proxy is set up and started; the settings themselves are in configs/
    process.py      a process on its processor: started, awaited, measured, ended
    load.py         the load generators, and what they say
    clients.py      loads that wrk and h2load do not know: handshakes, idle connections
    report.py       tables, written into the documentation
"""

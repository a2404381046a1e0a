"""What the benchmarks of two real processes share: two loopback links, and what both ends cost."""

import psutil

from loopback.processes import Pair

LINKS = {"a": "127.0.0.1", "b": "127.0.0.2"}


def link_tables(more: str = "") -> str:
    """The configuration of both links, with `more` settings in each."""
    return "".join(f'[[link]]\nname = "{name}"\nbind = "{bind}"\n{more}' for name, bind in LINKS.items())


def processes(pair: Pair) -> list[psutil.Process]:
    """The server and the client, which run."""
    assert pair.server is not None
    assert pair.client is not None
    return [psutil.Process(pair.server.pid), psutil.Process(pair.client.pid)]


def cpu(process: psutil.Process) -> float:
    """Seconds that it has used until now."""
    times = process.cpu_times()
    return times.user + times.system

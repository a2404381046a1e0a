"""What `tandem server` runs: a server in this process, the parent of several workers, or one of these."""

import os
import sys
from collections.abc import Callable

from tandem.base.errors import UsageError
from tandem.config.config import Config
from tandem.process.running import Service
from tandem.server.server import Server
from tandem.workers.parent import Parent, worker_command
from tandem.workers.seat import taken_seat
from tandem.workers.worker import Worker
from tandem_transport.driver import can_steer


def server_service(config: Config, load: Callable[[], Config]) -> tuple[Service, Callable[[], None] | None]:
    """The service of this process, and what SIGHUP does. `load` reads the configuration anew. Raises UsageError."""
    seat = taken_seat()
    if seat is not None:
        return Worker(config, seat, load), lambda: None  # the parent says when
    workers = _count(config.server.workers)
    if workers == 1:
        server = Server(config)
        return server, lambda: server.reload(load())
    if not can_steer():
        raise UsageError("--workers: this system cannot lead packets to several processes", "it needs Linux 4.5")
    parent = Parent(config, workers, worker_command())
    return parent, lambda: parent.reload(load())


def _count(workers: int | str) -> int:
    if workers != "auto":
        return int(workers)
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1

"""What `tandem server` runs: a server in this process, the parent of several workers, or one of these."""

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tandem.base.errors import UsageError
from tandem.config.config import Config
from tandem.process.running import Service
from tandem.server.server import Server
from tandem.workers.parent import Parent, worker_command
from tandem.workers.seat import taken_seat
from tandem.workers.worker import Worker
from tandem_transport.driver import can_steer
from tandem_transport.endpoint.placement import MAX_SLOTS

log = logging.getLogger("tandem.workers")


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """The service of this process, and what its signals do."""

    service: Service
    reload: Callable[[], None]
    upgrade: Callable[[], None]


def server_process(config: Config, load: Callable[[], Config]) -> ServerProcess:
    """What this process is. `load` reads the configuration anew. Raises UsageError."""
    seat = taken_seat()
    if seat is not None:
        return ServerProcess(Worker(config, seat, load), _nothing, _nothing)  # the parent says when
    workers = _count(config.server.workers)
    if workers == 1:
        server = Server(config)
        return ServerProcess(server, lambda: server.reload(load()), _cannot_upgrade)
    if not can_steer():
        raise UsageError("--workers: this system cannot lead packets to several processes", "it needs Linux 4.5")
    parent = Parent(config, workers, worker_command())
    return ServerProcess(parent, lambda: parent.reload(load()), parent.upgrade)


def _nothing() -> None:
    """Does nothing."""


def _cannot_upgrade() -> None:
    log.error("an upgrade while connections go on needs `workers` of 2 or more in [server]; restart it instead")


def _count(workers: int | str) -> int:
    if workers != "auto":
        return int(workers)
    if sys.platform != "linux":
        return 1
    return min(MAX_SLOTS // 2, len(os.sched_getaffinity(0)))

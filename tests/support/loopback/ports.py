"""Ports that nobody else takes: from below the range out of which the system gives ports to connections."""

import contextlib
import os
import random
import socket
import time
from collections import deque

_WORKERS = ("gw0", "gw1", "gw2")
"""Processes of pytest-xdist that play tests side by side: each has ports of its own."""


def _range() -> range:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker not in _WORKERS:
        return range(20_000, 32_000)
    first = 20_000 + 4_000 * _WORKERS.index(worker)
    return range(first, first + 4_000)


_RANGE = _range()
_random = random.Random()
_given = deque[int](maxlen=1000)
"""Ports that were given out lately: whoever asked for one may not listen on it yet."""


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1, for TCP, or for UDP with SOCK_DGRAM."""
    while True:
        port = _random.choice(_RANGE)
        if port in _given:
            continue
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, kind) as sock:
            sock.bind(("127.0.0.1", port))
            _given.append(port)
            return port


def wait_for_listener(port: int, limit: float = 60.0) -> None:
    """Returns when somebody accepts connections on a port of 127.0.0.1."""
    deadline = time.monotonic() + limit
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on port {port} after {limit:.0f} s"
            time.sleep(0.05)

"""How a worker hands an initiation over to another: datagram sockets for each slot, which all workers share."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Mapping

from tandem_transport.driver import Source

_LARGEST = 4096
"""Bytes of a message: an initiation, and the addresses that it came from and to."""

Take = Callable[[Source, bytes], None]


class Doors:
    """The doors of all workers, as one of them sees them."""

    def __init__(self, own: socket.socket, others: Mapping[int, socket.socket], take: Take) -> None:
        """`own`: where others leave what is ours. `take` is called with each."""
        self._own, self._others, self._take = own, others, take

    def open(self) -> None:
        """Begins to take what others leave."""
        self._own.setblocking(False)
        for other in self._others.values():
            other.setblocking(False)
        asyncio.get_running_loop().add_reader(self._own, self._read)

    def close(self) -> None:
        """Closes all doors on this side."""
        asyncio.get_running_loop().remove_reader(self._own)
        for sock in (self._own, *self._others.values()):
            sock.close()

    def hand_over(self, slot: int, source: Source, data: bytes) -> None:
        """Leaves an initiation at another worker's door; drops it where that is full, as a network would."""
        head = json.dumps([list(source.local), list(source.remote)]).encode()
        with contextlib.suppress(OSError, KeyError):
            self._others[slot].send(head + b"\n" + data)

    def _read(self) -> None:
        while True:
            try:
                message = self._own.recv(_LARGEST)
            except OSError:  # BlockingIOError, where nothing is left
                return
            head, _, data = message.partition(b"\n")
            (local_host, local_port), remote = json.loads(head)
            self._take(Source((local_host, local_port), _address(remote)), data)


def _address(fields: list[str | int]) -> tuple[str, int] | tuple[str, int, int, int]:
    host, port, *more = fields
    if more:
        return str(host), int(port), int(more[0]), int(more[1])
    return str(host), int(port)


def make_door() -> tuple[socket.socket, socket.socket]:
    """The inner side, which one worker reads, and the outer side, at which all others write."""
    inner, outer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return inner, outer

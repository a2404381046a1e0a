"""How a worker hands over to another what has come to the wrong one: datagram sockets for each slot, which all share.

A message is a line of JSON, and a datagram. The line says where the datagram came from, and, where that is a TLS
connection, whose it is, so that answers go back there.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tandem.workers.unix_sockets import connected_pair
from tandem_transport import BoundedTable
from tandem_transport.driver import Carrier, Source, source_of_address

_LARGEST = 4096
"""Bytes of a message: a datagram, and the addresses that it came from and to."""

MAX_FAR = 4096
"""TLS connections of other workers that are remembered; beyond it, the oldest are forgotten."""


class Inside(Protocol):
    """What the doors lead to."""

    def receive_stray(self, source: Source, data: bytes, /) -> None:
        """Takes an initiation that came to another worker."""
        ...

    def receive_far(self, carrier: Carrier, data: bytes, /) -> None:
        """Takes a datagram that came through a TLS connection of another worker."""
        ...

    def send_by_number(self, number: int, data: bytes, /) -> None:
        """Sends a datagram through a TLS connection of this worker."""
        ...


class Doors:
    """The doors of all workers, as one of them sees them."""

    def __init__(
        self, slot: int, own: socket.socket, others: Mapping[int, socket.socket], number_of: Callable[[Carrier], int]
    ) -> None:
        """`own`: where others leave what is ours. `number_of` names a TLS connection of this worker."""
        self._slot, self._own, self._others = slot, own, others
        self._number_of = number_of
        self._inside: Inside
        self._far: BoundedTable[tuple[int, int], Carrier] = BoundedTable(MAX_FAR)
        """TLS connections of other workers, by slot and number."""
        self._places: BoundedTable[Carrier, tuple[int, int]] = BoundedTable(MAX_FAR)

    def open(self, inside: Inside) -> None:
        """Begins to take what others leave."""
        self._inside = inside
        self._own.setblocking(False)
        for other in self._others.values():
            other.setblocking(False)
        asyncio.get_running_loop().add_reader(self._own, self._read)

    def close(self) -> None:
        """Closes all doors on this side."""
        asyncio.get_running_loop().remove_reader(self._own)
        for sock in (self._own, *self._others.values()):
            sock.close()

    def hand_over(self, slot: int, source: Source | Carrier, data: bytes) -> None:
        """Leaves a datagram at another worker's door; drops it where that is full, as a network would."""
        place = source_of_address(source)
        if place is None:
            return
        head: dict[str, Any] = {"from": [list(place.local), list(place.remote)]}
        if isinstance(source, Carrier):
            head["tls"] = [self._slot, self._number_of(source)]
        self._leave(slot, head, data)

    def send_far(self, carrier: Carrier, batch: list[bytes]) -> None:
        """Sends datagrams through the TLS connection of another worker."""
        place = self._places.get(carrier)
        if place is not None:
            for data in batch:
                self._leave(place[0], {"to": place[1]}, data)

    # --- inside ---

    def _leave(self, slot: int, head: dict[str, Any], data: bytes) -> None:
        with contextlib.suppress(OSError, KeyError):
            self._others[slot].send(json.dumps(head).encode() + b"\n" + data)

    def _read(self) -> None:
        while True:
            try:
                message = self._own.recv(_LARGEST)
            except OSError:  # BlockingIOError, where nothing is left
                return
            head, _, data = message.partition(b"\n")
            self._take(json.loads(head), data)

    def _take(self, head: dict[str, Any], data: bytes) -> None:
        if "to" in head:
            self._inside.send_by_number(head["to"], data)
            return
        (local_host, local_port), remote = head["from"]
        source = Source((local_host, local_port), _address(remote))
        if "tls" in head:
            self._inside.receive_far(self._carrier(head["tls"][0], head["tls"][1], source), data)
        else:
            self._inside.receive_stray(source, data)

    def _carrier(self, slot: int, number: int, source: Source) -> Carrier:
        """The address that stands for a TLS connection of another worker."""
        carrier = self._far.get((slot, number))
        if carrier is None:
            carrier = Carrier(source)
            self._far.put((slot, number), carrier)
            self._places.put(carrier, (slot, number))
        return carrier


def _address(fields: list[str | int]) -> tuple[str, int] | tuple[str, int, int, int]:
    host, port, *more = fields
    if more:
        return str(host), int(port), int(more[0]), int(more[1])
    return str(host), int(port)


def make_door() -> tuple[socket.socket, socket.socket]:
    """The inner side, which one worker reads, and the outer side, at which all others write."""
    return connected_pair(socket.SOCK_DGRAM)

"""Pings of any size to one address of the server, from a port of their own.

A ping is a first message of a handshake. A server answers every copy of it with the same bytes, at once and only
once, and a first message that nobody goes on with changes nothing there (PROTOCOL.md section 3). So lost pings are
lost packets, whatever a session's own search for larger packets does. Bytes that follow a packet in its datagram and
are no packet end the datagram (section 1): a ping is as large as it is wanted.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tandem.config.invites import Invite
from tandem_transport import ClientEndpoint, HandshakeRefused
from tandem_transport.driver import LocalAddress, UdpAddress, local_identity
from tandem_transport.driver.sockets import bound_socket
from tandem_transport.parameters import BASE_DATAGRAM_SIZE, DATAGRAM_SIZES

REACH_TIMEOUT = 6.0
"""Seconds that an address has to answer the first of several pings."""

_REACH_INTERVAL = 0.25
"""Seconds between those pings."""

_LATE = 2.0
"""Seconds that the last answers have to come."""

SMALLEST_SIZE = 548
"""Bytes of UDP payload that every IPv4 host takes (RFC 1122 section 3.3.2: an IP datagram of 576 bytes)."""

_SIZE_ROUNDS = 8
"""Pings of each size: where half of all packets are lost, one in ten sizes is taken for too large by mistake."""

_SIZE_INTERVAL = 0.15
"""Seconds between two pings of a size."""

_SIZE_BRANCHES = 8
"""Sizes that are tried at the same time."""

_ICMP_PINGS, _ICMP_INTERVAL = 5, 0.2
"""Pings whose ICMP errors are waited for, and the seconds between them."""

_ID = slice(1, 17)
"""Where a packet has its connection id, or a handshake message its handshake's."""


class Count(NamedTuple):
    """How many pings were sent, and how many answers came."""

    sent: int
    answered: int

    @property
    def loss(self) -> float:
        """Share of pings without an answer, lost on their way there or back; 0 where none was sent."""
        return 1 - min(1.0, self.answered / self.sent) if self.sent else 0.0


class _FirstMessage:
    """One first message, and what has come back."""

    def __init__(self, invite: Invite) -> None:
        identity = local_identity(invite.client_private, invite.server_public)
        self._endpoint = ClientEndpoint(identity, now=0.0)  # its timers are of no use here
        self._endpoint.add_path(now=0.0)
        self._endpoint.handle_timeout(now=0.0)
        self.data = next(iter(self._endpoint.datagrams_to_send(now=0.0))).data
        self.answers = 0
        self.refused: int | None = None
        """Why the server turns this client down, if it does."""

    def receive(self, data: bytes) -> bool:
        """Takes a datagram; tells whether it answers this message."""
        if data[_ID] != self.data[_ID]:
            return False
        self.answers += 1
        self._endpoint.receive_datagram(0, data, now=0.0)
        while (event := self._endpoint.next_event()) is not None:
            if isinstance(event, HandshakeRefused):
                self.refused = event.code
        return True


class Pinger:
    """A socket that is bound to a link and asks one address of the server.

    It is not connected: an ICMP error about one ping would take the place of the next one, and under uvloop end the
    reading.
    """

    def __init__(self, invite: Invite, local: LocalAddress, remote: UdpAddress) -> None:
        """Raises OSError where the socket cannot be bound there, or has no route."""
        self._invite, self._local, self._remote = invite, local, remote
        self._messages: list[_FirstMessage] = []
        self._arrived = asyncio.Event()
        self.error: OSError | None = None
        """What the system said of the last ping that it did not send."""
        self._sock = bound_socket(local.host, 0, local.device)
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._receive)

    def close(self) -> None:
        """Gives the port back."""
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        self._sock.close()

    @property
    def refused(self) -> int | None:
        """Why the server turns this client down, None where it does not."""
        return next((message.refused for message in self._messages if message.refused is not None), None)

    async def reach(self, limit: float = REACH_TIMEOUT) -> bool:
        """Pings until something comes back; tells whether it has."""
        message = self._message()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while not message.answers:
                    self._send(message)
                    await self._wait(lambda: message.answers > 0, _REACH_INTERVAL)
        return message.answers > 0

    async def count(self, pings: int, interval: float) -> Count:
        """Sends so many pings, with an interval in seconds between them, and counts what comes back."""
        message = self._message()
        sent = 0
        for _ in range(pings):
            sent += self._send(message)
            await asyncio.sleep(interval)
        await self._wait(lambda: message.answers >= sent, _LATE)
        return Count(sent, message.answers)

    async def largest(self, sizes: Sequence[int]) -> int:
        """The largest of these sizes, in bytes of UDP payload, that is answered; 0 where none is."""
        by_size = {size: self._message() for size in sizes}

        def found() -> int:
            return max((size for size, message in by_size.items() if message.answers), default=0)

        for _ in range(_SIZE_ROUNDS):
            for size, message in by_size.items():
                if size > found():
                    self._send(message, size)
            if await self._wait(lambda: found() == max(sizes), _SIZE_INTERVAL):
                return found()
        await self._wait(lambda: found() == max(sizes), _LATE)
        return found()

    async def icmp_error(self) -> OSError | None:
        """What hosts on the way say of pings without an answer, such as that nothing listens there; None for nothing.

        Only a connected socket hears that.
        """
        message = self._message()
        with bound_socket(self._local.host, 0, self._local.device) as sock:
            try:
                sock.connect(self._remote)
                for _ in range(_ICMP_PINGS):
                    sock.send(message.data)
                    await asyncio.sleep(_ICMP_INTERVAL)
            except OSError as error:
                return error
        return None

    # --- inside ---

    def _message(self) -> _FirstMessage:
        message = _FirstMessage(self._invite)
        self._messages.append(message)
        return message

    def _send(self, message: _FirstMessage, size: int = 0) -> bool:
        """Sends a ping of at least its own size; tells whether it has left."""
        try:
            self._sock.sendto(message.data.ljust(size, b"\0"), self._remote)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.EAGAIN):  # a size that does not pass is an answer, no fault
                self.error = error
            return False
        return True

    def _receive(self) -> None:
        while True:
            try:
                data = self._sock.recv(65536)
            except BlockingIOError:
                break
            except OSError:  # the interface has gone
                break
            for message in self._messages:
                if message.receive(data):
                    break
        self._arrived.set()

    async def _wait(self, is_enough: Callable[[], bool], limit: float) -> bool:
        """Waits so many seconds at most; tells whether it is enough."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while not is_enough():
                    self._arrived.clear()
                    await self._arrived.wait()
        return is_enough()


async def largest_size(pinger: Pinger) -> int:
    """Bytes of UDP payload that arrive at the server: one of the sizes that a session uses, else exact.

    0 where not even the smallest size arrives.
    """
    largest = await pinger.largest((SMALLEST_SIZE, BASE_DATAGRAM_SIZE, *DATAGRAM_SIZES))
    if largest >= BASE_DATAGRAM_SIZE or not largest:
        return largest
    too_large = BASE_DATAGRAM_SIZE
    while too_large - largest > 1:
        sizes = range(largest, too_large, max(1, (too_large - largest) // _SIZE_BRANCHES))[1:]
        largest = max(largest, await pinger.largest(sizes))
        too_large = min((size for size in sizes if size > largest), default=too_large)
    return largest


def route_source(remote: UdpAddress) -> str | None:
    """The local address from which the system would send there if nothing were bound; None where it has no route."""
    family = socket.AF_INET6 if len(remote) == 4 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(remote)
        except OSError:
            return None
        return str(probe.getsockname()[0])

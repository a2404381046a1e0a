"""Pings of any size to one address of the server, from a separate port.

A ping is an initiation packet. A server answers each copy of it at once, exactly once, and with the same bytes;
an initiation that the client does not complete changes nothing there (PROTOCOL.md section 3). So lost pings are lost
packets; path MTU discovery of a session does not affect them. Bytes after the packet that are not a packet end the
datagram (section 1), so padding gives a ping any size.
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
"""Seconds that an address has to answer one of the repeated pings of `Pinger.reach`."""

_REACH_INTERVAL = 0.25
"""Seconds between two pings of `Pinger.reach`."""

_LATE = 2.0
"""Seconds to wait for the last answers after the last ping."""

SMALLEST_SIZE = 548
"""Bytes of UDP payload that every IPv4 host accepts (RFC 1122 section 3.3.2: an IP datagram of 576 bytes)."""

_SIZE_ROUNDS = 8
"""Number of pings of each size: with half of the packets lost each way, one in ten sizes wrongly seems too large."""

_SIZE_INTERVAL = 0.15
"""Seconds between two pings of a size."""

_SIZE_BRANCHES = 8
"""Number of sizes that are tried at the same time."""

_ICMP_PINGS, _ICMP_INTERVAL = 5, 0.2
"""Number of pings that may provoke ICMP errors, and the seconds between them."""

_ID = slice(1, 17)
"""Position of the connection id in a packet; handshake packets have the id of their handshake there."""


class Count(NamedTuple):
    """The numbers of pings sent and of answers received."""

    sent: int
    answered: int

    @property
    def loss(self) -> float:
        """Share of pings without an answer, lost in either direction; 0 where none was sent."""
        return 1 - min(1.0, self.answered / self.sent) if self.sent else 0.0


class _Initiation:
    """One initiation packet, and the answers to it."""

    def __init__(self, invite: Invite) -> None:
        identity = local_identity(invite.client_private, invite.server_public)
        self._endpoint = ClientEndpoint(identity, now=0.0)  # its timers are not used here
        self._endpoint.add_path(now=0.0)
        self._endpoint.handle_timeout(now=0.0)
        self.data = next(iter(self._endpoint.datagrams_to_send(now=0.0))).data
        self.answers = 0
        self.refused: HandshakeRefused | None = None
        """The server's refusal of this client; None where it does not refuse it."""

    def receive(self, data: bytes) -> bool:
        """Handles a datagram; tells whether it answers this initiation."""
        if data[_ID] != self.data[_ID]:
            return False
        self.answers += 1
        self._endpoint.receive_datagram(0, data, now=0.0)
        while (event := self._endpoint.next_event()) is not None:
            if isinstance(event, HandshakeRefused):
                self.refused = event
        return True


class Pinger:
    """A socket that is bound to a link and pings one address of the server.

    It is not connected: on a connected socket, an ICMP error about one ping would make the next one fail, and under
    uvloop stop the reader.
    """

    def __init__(self, invite: Invite, local: LocalAddress, remote: UdpAddress) -> None:
        """Raises OSError where the socket cannot be bound there, or has no route."""
        self._invite, self._local, self._remote = invite, local, remote
        self._initiations: list[_Initiation] = []
        self._arrived = asyncio.Event()
        self.error: OSError | None = None
        """The system's error for the last ping that it could not send; None without one."""
        self._sock = bound_socket(local.host, 0, local.device)
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._receive)

    def close(self) -> None:
        """Closes the socket."""
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        self._sock.close()

    @property
    def refused(self) -> HandshakeRefused | None:
        """The server's refusal of this client; None where no answer refuses it."""
        return next((initiation.refused for initiation in self._initiations if initiation.refused is not None), None)

    async def reach(self, timeout: float = REACH_TIMEOUT) -> bool:
        """Pings until an answer comes or `timeout` seconds pass; tells whether one came."""
        initiation = self._initiation()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not initiation.answers:
                    self._send(initiation)
                    await self._wait(lambda: initiation.answers > 0, _REACH_INTERVAL)
        return initiation.answers > 0

    async def count(self, pings: int, interval: float) -> Count:
        """Sends a number of pings, with `interval` seconds between them, and counts the answers."""
        initiation = self._initiation()
        sent = 0
        for _ in range(pings):
            sent += self._send(initiation)
            await asyncio.sleep(interval)
        await self._wait(lambda: initiation.answers >= sent, _LATE)
        return Count(sent, initiation.answers)

    async def largest(self, sizes: Sequence[int]) -> int:
        """The largest of these sizes, in bytes of UDP payload, that is answered; 0 where none is."""
        by_size = {size: self._initiation() for size in sizes}

        def found() -> int:
            return max((size for size, initiation in by_size.items() if initiation.answers), default=0)

        for _ in range(_SIZE_ROUNDS):
            for size, initiation in by_size.items():
                if size > found():
                    self._send(initiation, size)
            if await self._wait(lambda: found() == max(sizes), _SIZE_INTERVAL):
                return found()
        await self._wait(lambda: found() == max(sizes), _LATE)
        return found()

    async def icmp_error(self) -> OSError | None:
        """The ICMP error that hosts on the way send about pings, such as port unreachable; None without one.

        Only a connected socket receives these errors.
        """
        initiation = self._initiation()
        with bound_socket(self._local.host, 0, self._local.device) as sock:
            try:
                sock.connect(self._remote)
                for _ in range(_ICMP_PINGS):
                    sock.send(initiation.data)
                    await asyncio.sleep(_ICMP_INTERVAL)
            except OSError as error:
                return error
        return None

    # --- inside ---

    def _initiation(self) -> _Initiation:
        initiation = _Initiation(self._invite)
        self._initiations.append(initiation)
        return initiation

    def _send(self, initiation: _Initiation, size: int = 0) -> bool:
        """Sends a ping, padded to `size` bytes; tells whether the system has sent it."""
        try:
            self._sock.sendto(initiation.data.ljust(size, b"\0"), self._remote)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.EAGAIN):  # "too large" is a result, not an error
                self.error = error
            return False
        return True

    def _receive(self) -> None:
        while True:
            try:
                data = self._sock.recv(65536)
            except BlockingIOError:
                break
            except OSError:  # the interface is gone
                break
            for initiation in self._initiations:
                if initiation.receive(data):
                    break
        self._arrived.set()

    async def _wait(self, is_enough: Callable[[], bool], timeout: float) -> bool:
        """Waits until `is_enough`, at most `timeout` seconds; tells whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not is_enough():
                    self._arrived.clear()
                    await self._arrived.wait()
        return is_enough()


async def largest_size(pinger: Pinger) -> int:
    """The largest UDP payload in bytes that arrives at the server: one of the sizes that sessions probe for.

    Below BASE_DATAGRAM_SIZE the value is exact; it is 0 where not even the smallest size arrives.
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
    """The local address that the system would send from if the socket were not bound; None where it has no route."""
    family = socket.AF_INET6 if len(remote) == 4 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(remote)
        except OSError:
            return None
        return str(probe.getsockname()[0])

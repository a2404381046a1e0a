"""Name queries of the devices: asked through the session, or answered with fake addresses (RFC 1035).

The messages are read and written by dnspython.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tandem.base.addresses import literal_address
from tandem.base.tasks import TaskSet
from tandem.ports.tcp_listener import serving_listener
from tandem.ports.udp_listener import Caller, UdpListener, answer
from tandem.transparent.destination import HostPort
from tandem.transparent.fake_names import FakeNames
from tandem_socks import Association, Command, FarSide, Listener, Request, SocksError, TcpConnection
from tandem_transport import BoundedTable

log = logging.getLogger("tandem.client")

MAX_WAITING = 1024
"""Queries that wait for an answer; a further one takes the place of the oldest."""

QUERY_TIMEOUT = 10.0
"""Seconds that an answer may take, and that a TCP connection may be silent."""

FAKE_TTL = 10
"""Seconds for which a device may use a fake address without asking again."""

_TYPES = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}
_HINTS = (dns.rdatatype.HTTPS, dns.rdatatype.SVCB)
"""Types whose answers contain real addresses."""


Read = Callable[[int], Awaitable[bytes]]
"""Reads at most a given number of bytes; b"" at the end. Raises OSError."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    caller: Caller
    number: bytes
    """The id that the device has chosen."""
    question: bytes


class NamesPort:
    """The ports, UDP and TCP, to which the queries of all devices come."""

    def __init__(
        self, far_side: FarSide, server: HostPort, fake: FakeNames | None, admits: Callable[[str], bool]
    ) -> None:
        """`server`: the name server that is asked. `fake`: what answers are made of, None for real ones."""
        self._far_side, self._server, self._fake, self._admits = far_side, server, fake, admits
        self._udp = UdpListener(self._on_query, admits=admits)
        self._listeners: list[Listener] = []
        self._tasks = TaskSet()
        self._association: Association | None = None
        self._opening: asyncio.Task[None] | None = None
        self._early: list[bytes] = []
        self._waiting: BoundedTable[int, _Waiting] = BoundedTable(MAX_WAITING)
        """Queries that were sent on, by the id under which they were."""

    async def listen(self, places: Sequence[HostPort]) -> None:
        """Listens on all places. Raises OSError."""
        for host, port in places:
            await self._udp.listen(host, port)
            listener = serving_listener(self._tasks, self._serve, admits=self._admits)
            self._listeners.append(listener)
            await listener.listen(host, port)

    @property
    def port(self) -> int:
        """The port number that it listens on."""
        return self._udp.port

    async def close(self) -> None:
        """Closes the ports."""
        self._udp.close()
        for listener in self._listeners:
            await listener.close()
        await self._tasks.cancel()
        if self._association is not None:
            self._association.close()

    # --- UDP ---

    def _on_query(self, caller: Caller, data: bytes) -> None:
        made = self.made_up(data)
        if made is not None:
            answer(caller, made)
        elif (question := _question(data)) is not None:
            number = secrets.randbelow(1 << 16)  # nobody who forges answers may guess it
            self._waiting.put(number, _Waiting(caller, data[:2], question))
            self._send(number.to_bytes(2, "big") + data[2:])

    def _send(self, query: bytes) -> None:
        if self._association is not None:
            self._association.send(*self._server, query)
        elif len(self._early) < MAX_WAITING:
            self._early.append(query)
        if self._opening is None:
            self._opening = self._tasks.begin(self._keep_association())

    async def _keep_association(self) -> None:
        """Opens a far port for all queries, and waits until it is closed; the next query opens another one."""
        try:
            request = Request(Command.UDP_ASSOCIATE, "0.0.0.0", 0, peer="127.0.0.1")
            self._association = association = await self._far_side.associate(request, self._on_answer)
            early, self._early = self._early, []
            for query in early:
                association.send(*self._server, query)
            await association.wait_closed()
            association.close()
        except SocksError as error:
            log.info("name queries: %s", error)
            self._early.clear()
        finally:
            self._association = self._opening = None

    def _on_answer(self, host: str, port: int, data: bytes) -> None:
        is_asked = port == self._server[1] and (host == self._server[0] or not literal_address(self._server[0]))
        number = int.from_bytes(data[:2], "big")
        waiting = self._waiting.get(number) if is_asked else None
        if waiting is not None and _question(data) == waiting.question:
            self._waiting.pop(number)
            answer(waiting.caller, waiting.number + data[2:])

    # --- TCP ---

    async def _serve(self, tcp: TcpConnection) -> None:
        try:
            while True:
                async with asyncio.timeout(QUERY_TIMEOUT):
                    query = await _read_message(tcp.read)
                    found = self.made_up(query) or await self._ask_by_tcp(query)
                    await tcp.write(len(found).to_bytes(2, "big") + found)
        except (OSError, EOFError, SocksError):  # TimeoutError is an OSError
            pass
        finally:
            await tcp.close()

    async def _ask_by_tcp(self, query: bytes) -> bytes:
        request = Request(Command.CONNECT, *self._server, peer="127.0.0.1")
        opened = await self._far_side.connect(request, len(query).to_bytes(2, "big") + query, is_told=False)
        try:
            buffer = bytearray()

            async def read(limit: int) -> bytes:
                if not buffer:
                    buffer.extend(await opened.stream.read())
                data = bytes(buffer[:limit])
                del buffer[:limit]
                return data

            return await _read_message(read)
        finally:
            opened.stream.reset()

    # --- fake addresses ---

    def made_up(self, data: bytes) -> bytes | None:
        """The answer to a query that needs no name server, None where it does."""
        if self._fake is None:
            return None
        try:
            query = dns.message.from_wire(data)
            question, made = query.question[0], dns.message.make_response(query, recursion_available=True)
        except (dns.exception.DNSException, IndexError, ValueError):
            return None
        name = question.name.to_text(omit_final_dot=True)
        is_known = question.rdtype in _TYPES or question.rdtype in _HINTS
        if question.rdclass != dns.rdataclass.IN or not is_known or _is_local(name):
            return None
        version = _TYPES.get(question.rdtype)
        address = self._fake.address(name, version) if version is not None else None
        if address is not None:
            made.answer.append(dns.rrset.from_text(question.name, FAKE_TTL, question.rdclass, question.rdtype, address))
        return made.to_wire()


def _question(message: bytes) -> bytes | None:
    """The question of a message in lower case, None where it has none that is whole."""
    end = 12
    while end < len(message) and 0 < message[end] < 64:
        end += 1 + message[end]
    if end >= len(message) or message[end] or end + 5 > len(message) or message[4:6] != b"\0\1":
        return None
    return message[12 : end + 5].lower()


def _is_local(name: str) -> bool:
    """Whether a name is one that the server could not know."""
    return "." not in name or name.lower().endswith((".local", ".arpa", ".localhost"))


async def _read_message(read: Read) -> bytes:
    """A message with its length before it. Raises EOFError, and what `read` raises."""
    head = await _read_exactly(read, 2)
    return await _read_exactly(read, int.from_bytes(head, "big"))


async def _read_exactly(read: Read, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await read(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data

"""What a front end needs from the far side: streams, listening ports and datagrams at another place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tandem_socks.request import Request


class FarReset(ConnectionResetError):
    """Raised by a `ByteStream` whose far end was reset."""


class ByteStream(Protocol):
    """A stream to the far side. `read`, `room` and `write` raise ConnectionError after a reset."""

    async def read(self) -> bytes:
        """Some bytes; b"" at the end of data. A call means that the bytes of the last call have been passed on."""
        ...

    async def write(self, data: bytes) -> None:
        """Writes bytes; returns when there is room for more."""
        ...

    async def room(self) -> int:
        """Number of bytes that `write` accepts now, at least one; waits while it accepts none."""
        ...

    def finish(self) -> None:
        """Sends an end of data."""
        ...

    def reset(self) -> None:
        """Resets both directions."""
        ...

    def watch_reset(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once when the far side is reset, even while nothing reads or writes."""
        ...

    @property
    def is_reset(self) -> bool:
        """Whether either side has reset the stream."""
        ...

    @property
    def is_suspended(self) -> bool:
        """Whether the far side is unreachable for a while, so that its silence does not count as idle."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """An established far connection."""

    stream: ByteStream
    bound_host: str
    bound_port: int
    via: str = ""
    """Which way it takes, for people; empty where there is one way only."""


class Binding(Protocol):
    """A far port that waits for one connection (BIND)."""

    @property
    def address(self) -> tuple[str, int]:
        """The host and port where the far port listens."""
        ...

    async def accepted(self) -> Opened:
        """Waits for the connection, which has its peer's address. Raises SocksError where none comes."""
        ...

    def close(self) -> None:
        """Closes the far port."""
        ...


Receive = Callable[[str, int, bytes], None]
"""Takes the literal address and port that a datagram comes from, and the datagram."""


class Association(Protocol):
    """A far UDP port (UDP ASSOCIATE)."""

    def send(self, host: str, port: int, data: bytes) -> None:
        """Sends a datagram, or drops it."""
        ...

    async def wait_closed(self) -> None:
        """Returns when the far side has closed the port."""
        ...

    def close(self) -> None:
        """Closes the far port."""
        ...


class FarSide(Protocol):
    """Serves requests. All methods raise SocksError with the reply that tells the reason."""

    async def connect(self, request: Request, first: bytes, *, is_told: bool) -> Opened:
        """Connects, and sends `first`, the bytes that the client has already sent.

        `is_told`: the client waits for a success reply, which the far side may give before it is connected.
        """
        ...

    async def resolve(self, request: Request) -> str:
        """Resolves the request's host to a literal address."""
        ...

    async def bind(self, request: Request) -> Binding:
        """Listens for a connection from the request's host."""
        ...

    async def associate(self, request: Request, receive: Receive) -> Association:
        """Opens a UDP port; `receive` gets the datagrams that arrive there."""
        ...

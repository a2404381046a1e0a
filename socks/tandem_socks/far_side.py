"""What a front end needs of its owner: streams, listening ports and datagrams somewhere else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tandem_socks.request import Request


class FarReset(ConnectionResetError):
    """Raised by a `ByteStream` whose far end was reset."""


class ByteStream(Protocol):
    """The far side. `read`, `room` and `write` raise ConnectionError once it is reset."""

    async def read(self) -> bytes:
        """Some bytes; b"" at the end of data. What the last call returned has been passed on."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns once there is room for more."""
        ...

    async def room(self) -> int:
        """Bytes that it takes now, at least one; waits where it takes none."""
        ...

    def finish(self) -> None:
        """Passes on an end of data."""
        ...

    def reset(self) -> None:
        """Gives up both directions."""
        ...

    def watch_reset(self, callback: Callable[[], None]) -> None:
        """`callback` is called once when the far side is reset, whoever reads or writes then."""
        ...

    @property
    def is_reset(self) -> bool:
        """Reset by either side."""
        ...

    @property
    def is_suspended(self) -> bool:
        """The far side is out of reach for a while: its silence means nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A far connection that stands."""

    stream: ByteStream
    bound_host: str
    bound_port: int


class Binding(Protocol):
    """A far port that waits for one connection (BIND)."""

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        ...

    async def accepted(self) -> Opened:
        """The connection, with its peer's address. Raises SocksError where none comes."""
        ...

    def close(self) -> None:
        """Stops waiting."""
        ...


Receive = Callable[[str, int, bytes], None]
"""Takes a datagram, and the literal address and port that it comes from."""


class Association(Protocol):
    """A far UDP port (UDP ASSOCIATE)."""

    def send(self, host: str, port: int, data: bytes) -> None:
        """Sends a datagram, or drops it."""
        ...

    async def wait_closed(self) -> None:
        """Returns once the far side has given it up."""
        ...

    def close(self) -> None:
        """Gives it up."""
        ...


class FarSide(Protocol):
    """Where requests are served. All raise SocksError with the reply that tells why not."""

    async def connect(self, request: Request, first: bytes, *, is_told: bool) -> Opened:
        """Connects, and sends what the client has sent already.

        `is_told`: the client waits to be told that it is connected, and may be told so early.
        """
        ...

    async def resolve(self, request: Request) -> str:
        """A literal address of the request's host."""
        ...

    async def bind(self, request: Request) -> Binding:
        """Listens for a connection from the request's host."""
        ...

    async def associate(self, receive: Receive) -> Association:
        """Opens a UDP port; `receive` gets what arrives there."""
        ...

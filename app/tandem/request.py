"""What stands at the head of a stream: the client's request and the server's answer (PROTOCOL.md section 7).

request: kind (1 byte), host or forward name (1-byte length and text), port (2 bytes)
answer:  code (1 byte, a SOCKS reply), bound host (length and text), port (2), text for the log (length and text)
"""

from dataclasses import dataclass
from enum import IntEnum

from tandem_socks import Reply
from tandem_transport.driver import Stream

_TEXT_SIZE = 255


class Kind(IntEnum):
    """What a client asks for."""

    DIAL = 1
    FORWARD = 2
    """A forward by name; the port says nothing."""


class RequestError(Exception):
    """The head of a stream is malformed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A destination."""

    kind: Kind
    host: str
    """A literal address, a name, or the name of a forward."""
    port: int

    def __str__(self) -> str:
        if self.kind is Kind.FORWARD:
            return f"forward {self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def encode(self) -> bytes:
        """Bytes on the wire. Raises ValueError for a host of over 255 bytes."""
        return bytes([self.kind]) + _text(self.host) + self.port.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Answer:
    """How it went."""

    reply: Reply
    bound_host: str = "0.0.0.0"
    bound_port: int = 0
    text: str = ""
    """Why not, for the client's log."""

    def encode(self) -> bytes:
        """Bytes on the wire."""
        bound = _text(self.bound_host) + self.bound_port.to_bytes(2, "big")
        return bytes([self.reply]) + bound + _text(self.text.encode()[:_TEXT_SIZE].decode(errors="ignore"))


async def read_request(stream: Stream) -> Request:
    """Raises RequestError, and what `Stream.read` raises."""
    try:
        kind = (await stream.read_exactly(1))[0]
        host = await _read_text(stream)
        port = int.from_bytes(await stream.read_exactly(2), "big")
        return Request(Kind(kind), host, port)
    except (EOFError, ValueError) as error:
        raise RequestError(str(error)) from error


async def read_answer(stream: Stream) -> Answer:
    """Raises RequestError, and what `Stream.read` raises."""
    try:
        code = (await stream.read_exactly(1))[0]
        host = await _read_text(stream)
        port = int.from_bytes(await stream.read_exactly(2), "big")
        text = await _read_text(stream)
        return Answer(Reply(code), host, port, text)
    except (EOFError, ValueError) as error:
        raise RequestError(str(error)) from error


async def _read_text(stream: Stream) -> str:
    size = (await stream.read_exactly(1))[0]
    return (await stream.read_exactly(size)).decode()


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) > _TEXT_SIZE:
        raise ValueError(f"{len(data)} bytes where 255 are allowed")
    return bytes([len(data)]) + data

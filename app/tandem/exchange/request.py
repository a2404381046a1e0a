"""What stands at the head of a stream: the client's request and the server's answer (PROTOCOL.md section 7).

request: kind (1 byte), host or forward name (text), port (2 bytes)
answer:  code (1 byte, a SOCKS reply), hop (1), bound host (text), port (2), error (text), detail (text)

A text is its length in 1 byte, and that many bytes of UTF-8. After a BIND a second answer follows.
"""

from dataclasses import dataclass
from enum import IntEnum

from tandem.base.addresses import format_host_port
from tandem.exchange.failures import Failure, Hop
from tandem_socks import Reply
from tandem_transport import printable
from tandem_transport.driver import Stream

_TEXT_SIZE = 255


class Kind(IntEnum):
    """What a client asks for."""

    DIAL = 1
    FORWARD = 2
    """A connection to a forward, by its name; the port counts where the forward's target is HOST:*."""
    BIND = 3
    """A port at the server that waits for one connection from the host."""
    UDP = 4
    """A UDP port at the server; host and port have no meaning."""
    SPEEDTEST = 5
    """Zeros from the server (host `down`), or counts of the bytes that it receives (host `up`)."""
    WHO_AM_I = 6
    """The client's address as the server sees it, and the server's version and clock."""
    RESOLVE = 7
    """An address of the host that the client may reach; the port has no meaning."""
    LINKS = 8
    """The client's names for its links, in the order of their paths, in a line of JSON that follows."""
    PUBLISH = 9
    """Connections from a port of the server, by the name of the `[[publish]]`; they come as long as the stream is
    open, on streams that the server opens (`arrival.py`)."""


SUFFIX = ".forward"
"""The end of a host that is the name of a forward."""


class RequestError(Exception):
    """The head of a stream is malformed."""


_WITHOUT_HOST = {Kind.UDP: "udp", Kind.WHO_AM_I: "who am I", Kind.LINKS: "names of links"}
_BY_NAME = {Kind.SPEEDTEST: "speedtest", Kind.PUBLISH: "publish"}
_PREFIX = {Kind.DIAL: "", Kind.FORWARD: "forward ", Kind.BIND: "bind for ", Kind.RESOLVE: "the address of "}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for, and its destination."""

    kind: Kind
    host: str
    """A literal address, a name, or the name of a forward."""
    port: int

    def __str__(self) -> str:
        if self.kind in _BY_NAME:
            return f"{_BY_NAME[self.kind]} {self.host}"
        if self.kind in _WITHOUT_HOST:
            return _WITHOUT_HOST[self.kind]
        return _PREFIX[self.kind] + format_host_port(self.host, self.port)

    @property
    def without_target(self) -> str:
        """The kind of the request, without its destination."""
        return self.kind.name.lower().replace("_", " ")

    def encode(self) -> bytes:
        """The request as bytes on the wire. Raises ValueError for a host of over 255 bytes."""
        return bytes([self.kind]) + encode_text(self.host) + self.port.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's answer to a request."""

    reply: Reply
    bound_host: str = "0.0.0.0"
    bound_port: int = 0
    hop: Hop = Hop.NONE
    error: str = ""
    """The name of the system's error at the server, if there was one."""
    detail: str = ""
    """Why the request was not served, in words."""

    def encode(self) -> bytes:
        """The answer as bytes on the wire."""
        bound = encode_text(self.bound_host) + self.bound_port.to_bytes(2, "big")
        return bytes([self.reply, self.hop]) + bound + encode_text(_cut(self.error)) + encode_text(_cut(self.detail))

    def failure(self) -> Failure:
        """The failure that an answer reports, where the server could not serve the request."""
        return Failure(self.reply, self.hop, self.detail, self.error)


def failed(failure: Failure) -> Answer:
    """The answer that reports a failure to the client."""
    reply = failure.reply or Reply.GENERAL_FAILURE
    return Answer(reply, hop=failure.hop, error=failure.error, detail=failure.detail)


async def read_request(stream: Stream) -> Request:
    """Reads a request from its stream. Raises RequestError, and what `Stream.read` raises."""
    try:
        kind = (await stream.read_exactly(1))[0]
        host = await read_text(stream)
        port = int.from_bytes(await stream.read_exactly(2), "big")
        if not host.isprintable():
            raise RequestError(f"host {host!r}")  # a line end in it would forge a line of the log
        return Request(Kind(kind), host, port)
    except (EOFError, ValueError) as error:
        raise RequestError(str(error)) from error


async def read_answer(stream: Stream) -> Answer:
    """Reads an answer from its stream. Raises RequestError, and what `Stream.read` raises."""
    try:
        code, hop = await stream.read_exactly(2)
        host = await read_text(stream)
        port = int.from_bytes(await stream.read_exactly(2), "big")
        error, detail = await read_text(stream), await read_text(stream)
        return Answer(Reply(code), printable(host), port, Hop(hop), printable(error), printable(detail))
    except (EOFError, ValueError) as error:
        raise RequestError(str(error)) from error


async def read_text(stream: Stream) -> str:
    """Reads a text. Raises ValueError where it is not UTF-8, and what `Stream.read_exactly` raises."""
    size = (await stream.read_exactly(1))[0]
    return (await stream.read_exactly(size)).decode()


def encode_text(text: str) -> bytes:
    """A text as bytes on the wire. Raises ValueError where it has over 255 bytes."""
    data = text.encode()
    if len(data) > _TEXT_SIZE:
        raise ValueError(f"{len(data)} bytes where 255 are allowed")
    return bytes([len(data)]) + data


def _cut(text: str) -> str:
    return text.encode()[:_TEXT_SIZE].decode(errors="ignore")

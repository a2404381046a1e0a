"""The far side of the SOCKS port: everything is served at the other end of the session."""

from tandem.client.opener import Asked, Opener
from tandem.exchange.failures import session_failure
from tandem.exchange.pieces import decode_datagram, encode_datagram
from tandem.exchange.request import SUFFIX, Kind, Request, RequestError, read_answer
from tandem.exchange.stream_datagrams import StreamDatagrams
from tandem_socks import Association, Binding, Opened, Receive, Reply
from tandem_socks import Request as SocksRequest
from tandem_transport import TransportError


class Remote:
    """A `FarSide` of tandem_socks."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener

    async def connect(self, request: SocksRequest, first: bytes, *, is_told: bool) -> Opened:
        """Connects to a host or to a forward. Raises Failure."""
        host = request.host.rstrip(".")
        asked = Request(Kind.DIAL, request.host, request.port)
        if host.lower().endswith(SUFFIX):
            asked = Request(Kind.FORWARD, host[: -len(SUFFIX)], request.port)
        return await self._opener.open(asked, first, may_guess=is_told)

    async def resolve(self, request: SocksRequest) -> str:
        """An address of the host, looked up at the server. Raises Failure."""
        return (await self._opener.ask_once(Request(Kind.RESOLVE, request.host, 0))).bound_host

    async def bind(self, request: SocksRequest) -> Binding:
        """Opens a port at the server that waits for one connection. Raises Failure."""
        return _RemoteBinding(await self._opener.ask(Request(Kind.BIND, request.host, request.port)))

    async def associate(self, request: SocksRequest, receive: Receive) -> Association:
        """Opens a UDP port at the server; `receive` gets its datagrams. Raises Failure."""
        return _RemoteAssociation(await self._opener.ask(Request(Kind.UDP, "", 0)), receive)


class _RemoteBinding:
    """A port at the server that waits for its one connection."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._is_accepted = False

    @property
    def address(self) -> tuple[str, int]:
        return self._asked.answer.bound_host, self._asked.answer.bound_port

    async def accepted(self) -> Opened:
        stream = self._asked.stream
        try:
            answer = await read_answer(stream)
        except (TransportError, RequestError) as error:
            raise session_failure(error) from error
        if answer.reply is not Reply.SUCCEEDED:
            raise answer.failure()
        self._is_accepted = True
        return Opened(stream, answer.bound_host, answer.bound_port)

    def close(self) -> None:
        if not self._is_accepted:
            self._asked.stream.reset()


class _RemoteAssociation:
    """A UDP port at the server; its datagrams travel in DATAGRAM frames beside its stream."""

    def __init__(self, asked: Asked, receive: Receive) -> None:
        self._stream = asked.stream
        self._receive = receive
        self._datagrams = StreamDatagrams(self._stream, self._on_datagram)

    def send(self, host: str, port: int, data: bytes) -> None:
        self._datagrams.send(encode_datagram(host, port, data))

    async def wait_closed(self) -> None:
        try:
            while await self._stream.read():
                pass
        except TransportError:
            pass  # the session is over, and the server's port with it

    def close(self) -> None:
        self._datagrams.stop()
        self._stream.finish()

    def _on_datagram(self, datagram: bytes) -> None:
        decoded = decode_datagram(datagram)
        if decoded is not None:
            self._receive(*decoded)

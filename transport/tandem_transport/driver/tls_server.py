"""TLS connections of clients whose networks drop UDP. To everybody else this is a web server without a site."""

import asyncio
import contextlib
import email.utils
import logging
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from tandem_transport.driver.framing import FrameReader
from tandem_transport.driver.server_sockets import Source
from tandem_transport.driver.sockets import family_of, format_address, share_port
from tandem_transport.driver.tls import TlsPipe
from tandem_transport.path.carrier import Carrier

log = logging.getLogger("tandem.server")

MAX_CONNECTIONS = 4096
MAX_UNPROVEN = 256
"""Connections that have not shown yet that they are a client's."""

MAX_UNPROVEN_OF_ONE = 16
"""The same from one host (an IPv6 host is its /64)."""

MAX_OF_ONE = 1024
"""All connections of one host."""

PATIENCE = 10.0
"""Seconds in which a connection has to show that it is a client's."""

IDLE_TIMEOUT = 180.0
"""Seconds of silence after which a client's connection is closed: it sends a keep-alive every 15."""

_ID = slice(1, 17)
"""Where a packet has its connection id."""

_HEAD_LIMIT = 8 << 10
_TLS_HANDSHAKE = 0x16
_BACKLOG = 256
_PAGE = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"

Address = tuple[str, int]


class TlsServer:
    """The TCP ports of one server process, and the connections that they have accepted."""

    def __init__(self, handle: Callable[[Carrier, bytes], None], on_room: Callable[[bytes], None]) -> None:
        """`handle` takes each datagram; `on_room` gets the connection id of a session that may send again."""
        self._handle, self._on_room = handle, on_room
        self._listening: dict[Address, tuple[socket.socket, asyncio.Task[None]]] = {}
        self._connections: dict[Carrier, _Connection] = {}
        self._by_number: dict[int, Carrier] = {}
        self._unproven: Counter[Hashable] = Counter()
        self._open: Counter[Hashable] = Counter()
        """All connections, by host."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._context: ssl.SSLContext

    def listen(self, addresses: Sequence[Address], context: ssl.SSLContext, *, reuse_port: bool = False) -> None:
        """Listens on more addresses. Raises OSError."""
        self._context = context
        for address in addresses:
            if address not in self._listening:
                sock = _listening_socket(address, reuse_port=reuse_port)
                self._listening[address] = sock, asyncio.create_task(self._accept(sock))
                log.info("listening on tls %s", format_address(address))

    def send(self, carrier: Carrier, batch: list[bytes]) -> None:
        """Sends datagrams to a client, and so shows that it is one; drops them where the connection is gone."""
        connection = self._connections.get(carrier)
        if connection is not None:
            connection.send(batch)

    def is_here(self, carrier: Carrier) -> bool:
        """Whether the connection is one of this process."""
        return carrier in self._connections

    def number(self, carrier: Carrier) -> int:
        """The number by which other workers name a connection of this one, 0 for none."""
        connection = self._connections.get(carrier)
        return connection.number if connection is not None else 0

    def send_by_number(self, number: int, data: bytes) -> None:
        """Sends a datagram that another worker has made."""
        carrier = self._by_number.get(number)
        if carrier is not None:
            self.send(carrier, [data])

    def retire(self) -> None:
        """Listens no more and ends all connections: their clients come back to other processes."""
        for sock, task in self._listening.values():
            task.cancel()
            sock.close()
        self._listening.clear()
        for connection in self._connections.values():
            connection.close()

    async def close(self) -> None:
        """Closes all sockets and connections."""
        tasks = [task for _, task in self._listening.values()] + list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for sock, _ in self._listening.values():
            sock.close()
        self._listening.clear()

    # --- inside ---

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("tls: %s", error.strerror)
                await asyncio.sleep(1)
                continue
            host = host_of(address[0])
            if self._is_full(host):
                sock.close()
                continue
            sock.setblocking(False)
            self._unproven[host] += 1
            self._open[host] += 1
            task = asyncio.create_task(self._serve(sock, address, host))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _is_full(self, host: Hashable) -> bool:
        unproven, opened = self._unproven, self._open
        is_full = unproven.total() >= MAX_UNPROVEN or unproven[host] >= MAX_UNPROVEN_OF_ONE
        return is_full or opened.total() >= MAX_CONNECTIONS or opened[host] >= MAX_OF_ONE

    async def _serve(self, sock: socket.socket, address: Address, host: Hashable) -> None:
        """Serves a connection until it ends."""
        pipe: TlsPipe | None = None
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                pipe = await self._greet(sock)
            if pipe is None:
                return
            local = sock.getsockname()
            connection = _Connection(pipe, Source((local[0], local[1]), address), self._on_room)
            self._connections[connection.carrier] = connection
            self._by_number[connection.number] = connection.carrier
            await connection.run(self._handle, lambda: self._on_proven(host))
        except (OSError, ValueError) as error:
            log.debug("tls %s: %s", format_address(address), error)
        except Exception:  # a bug of ours must cost one connection
            log.exception("tls %s", format_address(address))
        finally:
            if connection is None or not connection.is_proven:
                self._on_proven(host)
            _count_down(self._open, host)
            if connection is not None:
                self._connections.pop(connection.carrier, None)
                self._by_number.pop(connection.number, None)
            if pipe is not None:
                pipe.close()
            else:
                sock.close()

    def _on_proven(self, host: Hashable) -> None:
        _count_down(self._unproven, host)

    async def _greet(self, sock: socket.socket) -> TlsPipe | None:
        """The TLS connection of somebody who speaks TLS; who speaks HTTP is answered."""
        loop = asyncio.get_running_loop()
        early = await loop.sock_recv(sock, _HEAD_LIMIT)
        if not early:
            return None
        if early[0] != _TLS_HANDSHAKE:
            await loop.sock_sendall(sock, http_answer(400, "The plain HTTP request was sent to HTTPS port"))
            sock.shutdown(socket.SHUT_WR)
            return None
        pipe = TlsPipe(sock, self._context, is_server=True, early=early)
        await pipe.handshake()
        return pipe


class _Connection:
    """A connection on which TLS is spoken."""

    def __init__(self, pipe: TlsPipe, source: Source, on_room: Callable[[bytes], None]) -> None:
        self.carrier = Carrier(source)
        self.number = secrets.randbits(62) + 1
        """Random, so that none of a process that has ended is taken for another one."""
        self._pipe = pipe
        self._reader = FrameReader()
        self._head = b""
        """What a stranger has said."""
        self._connection_id = b""
        self.is_proven = False
        """Whether the session layer has answered: then it is a client's."""
        self._on_proven: Callable[[], None]
        self._patience: asyncio.Timeout

        def tell(is_full: bool) -> None:
            self.carrier.is_full = is_full
            if not is_full:
                on_room(self._connection_id)

        pipe.on_room = tell

    def send(self, batch: list[bytes]) -> None:
        """Sends datagrams."""
        if not self.is_proven:
            self.is_proven = True
            self._on_proven()
            self._extend()
        self._connection_id = batch[0][_ID]
        self._pipe.send(batch)

    def close(self) -> None:
        """Ends the connection."""
        self._pipe.close()

    async def run(self, handle: Callable[[Carrier, bytes], None], on_proven: Callable[[], None]) -> None:
        """Passes on what arrives. Raises OSError where the connection breaks."""
        self._on_proven = on_proven
        try:
            async with asyncio.timeout(PATIENCE) as self._patience:
                while data := await self._pipe.read():
                    if not self._take(data, handle):
                        break
                    if self.is_proven:
                        self._extend()
                else:
                    return
        except TimeoutError:
            if self.is_proven:
                return
        if not self.is_proven:
            await self._answer_stranger()

    def _extend(self) -> None:
        """A client may be silent for longer than a stranger."""
        with contextlib.suppress(RuntimeError):  # the time is over already
            self._patience.reschedule(asyncio.get_running_loop().time() + IDLE_TIMEOUT)

    def _take(self, data: bytes, handle: Callable[[Carrier, bytes], None]) -> bool:
        """Takes bytes; tells whether they are those of a client, as far as one can tell."""
        if not self.is_proven and len(self._head) < _HEAD_LIMIT:
            self._head += data
        for datagram in self._reader.datagrams(data):
            handle(self.carrier, datagram)
        return not self._reader.is_broken

    async def _answer_stranger(self) -> None:
        """Answers a request like a web server without a site."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while b"\r\n\r\n" not in self._head and b"\n\n" not in self._head and len(self._head) < _HEAD_LIMIT:
                    data = await self._pipe.read()
                    if not data:
                        return
                    self._head += data
        self._pipe.write(http_answer(404 if _is_request(self._head) else 400))
        await self._pipe.finish(PATIENCE)


def host_of(address: str) -> Hashable:
    """A host: for IPv6 its /64, because one host can connect from all of it."""
    return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[:8] if ":" in address else address


def _count_down(counts: Counter[Hashable], host: Hashable) -> None:
    counts[host] -= 1
    if counts[host] <= 0:
        del counts[host]


def _is_request(head: bytes) -> bool:
    words = head.partition(b"\n")[0].split()
    return len(words) == 3 and words[0].isalpha() and words[0].isupper() and words[2].startswith(b"HTTP/1.")


def http_answer(status: int, detail: str = "") -> bytes:
    """An answer to a request for a page that does not exist, or that cannot be understood."""
    title = {400: "400 Bad Request", 404: "404 Not Found"}[status]
    body = _PAGE.format(title)
    if detail:
        body = body.replace("</center>", f"</center>\r\n<center>{detail}</center>")
    head = (
        f"HTTP/1.1 {title}\r\nDate: {email.utils.formatdate(usegmt=True)}\r\nContent-Type: text/html\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return (head + body).encode()


def _listening_socket(address: Address, *, reuse_port: bool) -> socket.socket:
    sock = socket.socket(family_of(address[0]), socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            share_port(sock)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock

"""The way of a link through TLS, where its network drops UDP."""

import asyncio
import ctypes
import logging
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tandem_transport.driver.fallback import DEAD_AFTER, Fallback, Transport
from tandem_transport.driver.framing import FrameReader
from tandem_transport.driver.names import Names
from tandem_transport.driver.sockets import UdpAddress, family_of, format_address
from tandem_transport.driver.targets import Endpoint
from tandem_transport.driver.tls import TlsPipe, client_context
from tandem_transport.path.carrier import Carrier

if TYPE_CHECKING:
    from tandem_transport.driver.link import LocalAddress, Receive

log = logging.getLogger("tandem.client")

CONNECT_TIMEOUT = 8.0
"""Seconds that one address has for TCP and TLS."""

_LATE = 3.0
"""Seconds for which a connection that was left still delivers."""

_WINSOCK = 10_000
"""The first number of the errors of sockets on Windows, which `os.strerror` does not know there."""


class Detour:
    """One TLS connection of a link, and when it is wanted."""

    def __init__(self, name: str, endpoints: Sequence[Endpoint], wish: Transport, names: Names) -> None:
        """`endpoints`: where the server listens for TLS. `name`: the link's, for the log."""
        self.fallback = Fallback(wish if endpoints else Transport.UDP)
        self._name, self._endpoints, self._names = name, endpoints, names
        self._next = 0
        self._pipe: TlsPipe | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self.remote: UdpAddress | None = None
        self.carrier: Carrier | None = None
        self._clock = time.monotonic
        self.problem = ""
        """Why TLS could not be connected the last time."""

    @property
    def is_only_way(self) -> bool:
        """Whether the link sends through TLS alone."""
        return self.fallback.wish is Transport.TLS

    @property
    def is_in_use(self) -> bool:
        """Whether the link sends through TLS now."""
        return self._pipe is not None

    @property
    def is_lost(self) -> bool:
        """Whether the connection that is in use has ended."""
        return self._pipe is not None and self._pipe.is_closed

    def is_dead(self, silence: float) -> bool:
        """Whether the connection carries nothing any more, after so many seconds without an answer."""
        return self._pipe is not None and silence >= DEAD_AFTER

    def begin(self, found: Sequence["LocalAddress"], receive: "Receive", on_change: Callable[[], None]) -> None:
        """Begins to connect from one of these addresses, unless that is under way.

        `on_change` is called when there is a result, when the connection ends, and when it takes data again.
        """
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(found, receive, on_change))

    def send(self, batch: Sequence[bytes]) -> bool:
        """Sends datagrams; tells whether that was possible."""
        if self._pipe is None or self._pipe.is_closed:
            return False
        self._pipe.send(list(batch))
        return True

    def leave(self) -> None:
        """The link uses UDP again; what is still on its way through TLS arrives."""
        if self._pipe is not None:
            asyncio.get_running_loop().call_later(_LATE, self._pipe.close)
        self._pipe = self._reading = self.carrier = self.remote = None

    def close(self, *, is_same_network: bool = False) -> None:
        """Ends the connection, and an attempt that is under way; on the same network another one is wanted at once."""
        for task in (self._connecting, self._reading):
            if task is not None:
                task.cancel()
        if self._pipe is not None:
            self._pipe.close()
            self.fallback.on_lost(is_same_network=is_same_network, now=self._clock())
        self._pipe = self._connecting = self._reading = self.carrier = self.remote = None

    # --- inside ---

    async def _connect(
        self, found: Sequence["LocalAddress"], receive: "Receive", on_change: Callable[[], None]
    ) -> None:
        endpoint = self._endpoints[self._next % len(self._endpoints)]
        self._next += 1
        try:
            pipe, remote = await _connect_to(endpoint, found, self._names)
        except (OSError, ValueError) as error:  # ValueError: a host that is no name
            self.problem = f"tls://{format_address(endpoint)}: {_text(error)}"
            log.debug("link %s: %s", self._name, self.problem)
            self.fallback.on_failed(now=self._clock())
        else:
            self.use(pipe, remote, receive, on_change)
            on_change()
        finally:
            if self._connecting is asyncio.current_task():
                self._connecting = None

    def use(self, pipe: TlsPipe, remote: UdpAddress, receive: "Receive", on_change: Callable[[], None]) -> None:
        """Sends through a connection from now on. `on_change`: as for `begin`."""
        log.info("link %s: sends through TLS, to %s", self._name, format_address(remote))
        carrier = Carrier(remote)

        def on_room(is_full: bool) -> None:
            carrier.is_full = is_full
            if not is_full:
                on_change()

        pipe.on_room = on_room
        self._pipe, self.remote, self.carrier, self.problem = pipe, remote, carrier, ""
        self.fallback.on_connected(now=self._clock())
        self._reading = asyncio.create_task(_read(pipe, remote, receive))
        self._reading.add_done_callback(lambda _: on_change())


def _text(error: Exception) -> str:
    """The system's text for an error, without the address that asyncio adds."""
    if not isinstance(error, OSError) or not error.errno or isinstance(error, ssl.SSLError):
        return str(error)
    if sys.platform == "win32" and error.errno >= _WINSOCK:
        return ctypes.FormatError(error.errno)
    return os.strerror(error.errno)


async def time_tls(found: Sequence["LocalAddress"], endpoint: Endpoint) -> tuple[float, str]:
    """Connects by TLS from one of these addresses: the seconds that it took, and why it was not possible."""
    began = time.monotonic()
    try:
        pipe, _ = await _connect_to(endpoint, found, Names())
    except (OSError, ValueError) as error:
        return 0.0, _text(error)
    pipe.close()
    return time.monotonic() - began, ""


async def _connect_to(endpoint: Endpoint, found: Sequence["LocalAddress"], names: Names) -> tuple[TlsPipe, UdpAddress]:
    """Tries each address of an endpoint. Raises OSError, that of the last one."""
    problem = OSError(f"{endpoint[0]} has no address of this link's family")
    for remote in await names.addresses(*endpoint):
        local = next((local for local in found if local.family == family_of(remote[0])), None)
        if local is None:
            continue
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await _open(local, remote, endpoint[0]), remote
        except OSError as error:  # TimeoutError is one
            problem = error if str(error) else OSError(f"no answer within {CONNECT_TIMEOUT:.0f} s")
    raise problem


async def _open(local: "LocalAddress", remote: UdpAddress, host: str) -> TlsPipe:
    """A TLS connection. Raises OSError."""
    sock = socket.socket(local.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        local.bind(sock)
        await asyncio.get_running_loop().sock_connect(sock, remote)
        pipe = TlsPipe(sock, _context(), is_server=False, name=host)
        await pipe.handshake()
    except BaseException:
        sock.close()
        raise
    return pipe


_contexts: list[ssl.SSLContext] = []


def _context() -> ssl.SSLContext:
    """The context of all links, made when the first one needs it: it reads files of the system."""
    if not _contexts:
        _contexts.append(client_context())
    return _contexts[0]


async def _read(pipe: TlsPipe, remote: UdpAddress, receive: "Receive") -> None:
    """Passes on what arrives, until the connection ends."""
    reader = FrameReader()
    try:
        while (data := await pipe.read()) and not reader.is_broken:
            batch = list(reader.datagrams(data))
            if batch:  # bytes that are no datagram are no answer of the server
                receive(batch, remote)
    except (OSError, ValueError) as error:
        log.debug("tls %s: %s", format_address(remote), error)
    except Exception:  # a bug of ours must cost one connection, not the link
        log.exception("tls %s", format_address(remote))
    finally:
        pipe.close()

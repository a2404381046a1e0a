"""One link of a client: its socket, which follows the machine's addresses, and the server's endpoint."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from tandem_transport.driver.detour import Detour
from tandem_transport.driver.fallback import Transport
from tandem_transport.driver.names import Names
from tandem_transport.driver.search import Homing, Search, Step
from tandem_transport.driver.send_errors import SendErrors
from tandem_transport.driver.sockets import Defer, UdpAddress, UdpSocket, bind, family_of, format_address
from tandem_transport.driver.targets import Endpoint, Targets, family

log = logging.getLogger("tandem.client")

_FULL = 1400
"""Bytes of a usual full datagram."""

_HEADERS = 28
"""Bytes of the headers of IPv4 and UDP."""

_GONE = (errno.ENODEV, errno.EADDRNOTAVAIL)
"""Errors that mean that the interface does not exist, or has lost its address."""


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """Where a link's socket is bound."""

    host: str
    """The local IP address, as a literal."""
    device: str | None
    """The interface that must be used, None where it does not have to be named."""
    index: int | None = None
    """The interface's number: an interface that was deleted and created again has another, and needs a new socket."""

    @property
    def family(self) -> socket.AddressFamily:
        return family_of(self.host)

    def bind(self, sock: socket.socket) -> None:
        """Binds a socket here, with any port. Raises OSError."""
        bind(sock, self.host, 0, self.device)


Resolve = Callable[[], list[LocalAddress]]
"""Finds a link's current local addresses, best first; raises OSError with a text for people."""

Receive = Callable[[Sequence[bytes], UdpAddress], None]


class Gate(Protocol):
    """Shuts a link that works, for example because of a limit on the bytes that it may carry."""

    def on_carried(self, size: int) -> bool:
        """`size` bytes have crossed the link, headers included; tells whether `problem` should be asked now."""
        ...

    def problem(self) -> str:
        """Why the link may carry nothing now, for people; empty where it may."""
        ...


class Change(IntEnum):
    """What `Link.follow` has changed."""

    NONE = 0
    ROUTE = 1
    """The socket or the server's address has changed. When the server answers, it is known if the network has, too."""
    NETWORK = 2
    """The machine's address on this link has changed: earlier measurements are no longer valid."""


@dataclass(slots=True, eq=False)
class Link:
    """A link that the user has configured. Its index among the links is its path id."""

    name: str
    local: Resolve
    endpoints: list[Endpoint]
    """The server's endpoints to be tried from this link, in turn; the first one is the link's own one (its home)."""
    send: Callable[[bytes, UdpAddress], bool] | None = field(default=None, repr=False)
    """Sends a datagram instead of the socket, None for the socket; `tandem demo` simulates a bad link with it."""
    arrive: Callable[[bytes, Callable[[bytes], None]], None] | None = field(default=None, repr=False)
    """Gets each datagram that arrives, and passes it on after a delay of its own; None for no such step."""
    port: int = 0
    """The local port, 0 for any; only a link with any port can change its port."""
    transport: Transport = Transport.AUTO
    tls_endpoints: Sequence[Endpoint] = ()
    """Where the server listens for TLS, which carries the link's packets where its network drops UDP."""
    names: Names = field(default_factory=Names, repr=False)
    """Looks up the server's names; the links of a process share it."""
    sock: UdpSocket | None = field(default=None, repr=False)
    remote: UdpAddress | None = None
    error: str = ""
    """Why the link cannot be used now; empty where it can."""
    gone_since: float | None = None
    """When the link's interface or address went away; None while it is there."""
    bytes_total: int = 0
    """Bytes carried since the process began, in both directions, headers of IP and UDP included."""
    gate: Gate | None = field(default=None, repr=False)
    """Asked at each check of the link whether the link is shut; None for a link that is never shut."""
    _is_gate_due: bool = False
    """The gate should be asked now."""
    defer: Defer | None = field(default=None, repr=False)
    """Who may read its sockets later; None: they are read when something arrives."""
    initiation: bytes = field(default=b"", repr=False)
    """The last datagram that was sent to get a session."""
    targets: Targets = field(init=False, repr=False)
    detour: Detour = field(init=False, repr=False)
    found: Sequence[LocalAddress] = ()
    """The link's local addresses, as of the last check."""
    search: Search = field(default_factory=Search, repr=False)
    homing: Homing = field(default_factory=Homing, repr=False)
    _errors: SendErrors = field(default_factory=SendErrors, repr=False)
    _bound: LocalAddress | None = None
    _measured_on: LocalAddress | None = None
    """The local address from which the server was last reached."""
    _resort: UdpAddress | None = None
    """The server's address that works, while the link's own endpoint is being tried."""
    _receiver: "asyncio.Task[None] | None" = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.targets = Targets(self.endpoints)
        self.detour = Detour(self.name, self.tls_endpoints, self.transport, self.names)

    # --- traffic ---

    def transmit(self, batch: Sequence[bytes]) -> bool:
        """Sends datagrams to the server, or drops them where the link cannot be used; tells whether it sent them."""
        remote = self.place
        if remote is None or self.error or (self.sock is None and not self.detour.is_in_use):
            return False
        self._count(sum(map(len, batch)) + _HEADERS * len(batch))
        if self.send is not None:
            for data in batch:
                self.send(data, remote)
        elif self.detour.is_in_use:
            return self.detour.send(batch)
        elif self.sock is not None:
            self.sock.send_batch(batch, remote)
        return True

    def deliver(self, data: bytes, remote: UdpAddress) -> None:
        """Sends one datagram to an address that the link uses now; drops it where that has changed."""
        if self.detour.is_in_use and remote == self.detour.remote:
            self.detour.send([data])
        elif self.sock is not None and remote == self.remote:
            self.sock.send(data, remote)

    @property
    def place(self) -> UdpAddress | None:
        """The server's address that the link sends to."""
        return self.detour.remote if self.detour.is_in_use else self.remote

    def on_received(self, batch: Sequence[bytes]) -> None:
        """Datagrams have arrived; the kernel may have merged several to one."""
        self._count(sum(map(len, batch)) + _HEADERS * sum(len(data) // _FULL or 1 for data in batch))

    @property
    def awaits_answer(self) -> bool:
        """Whether the link waits for an answer of the server; most datagrams need no such check."""
        return self.search.is_waiting or self.homing.is_under_way or self._measured_on is not self._bound

    def is_asking(self, source: UdpAddress) -> bool:
        """Whether `source` is the address of the server that the link uses at the moment."""
        return self.place is not None and _is_same_place(source, self.place)

    @property
    def is_elsewhere(self) -> bool:
        """An answer that arrives now has crossed another network than the one that was measured."""
        return self._measured_on not in (None, self._bound)

    def on_answer(self, *, now: float) -> None:
        """The server has answered at the address that the link uses."""
        self._measured_on = self._bound
        if self.place is not None and (self.search.steps or self.homing.is_under_way):
            log.info("link %s: the server answers at %s", self.name, format_address(self.place))
        if self.homing.is_under_way:
            self.targets.go_home()
        self.homing.on_answer(is_home=self.targets.is_home, now=now)
        self.search.on_answer()
        self.targets.asked.clear()

    def is_gate_due(self) -> bool:
        """Whether the link should be checked because its gate has something to say; true once for each reason."""
        is_due, self._is_gate_due = self._is_gate_due, False
        return is_due

    def _count(self, size: int) -> None:
        self.bytes_total += size
        if self.gate is not None and self.gate.on_carried(size):
            self._is_gate_due = True

    # --- what is wrong ---

    @property
    def system_error(self) -> str:
        """The error of a link on which every send has failed for more than a second; else an empty text."""
        return self._errors.lasting

    def set_error(self, error: OSError | None, *, now: float) -> bool:
        """Sets why the link cannot be used, None where it can; tells whether this has changed."""
        text = "" if error is None else error.strerror or str(error)
        if error is None or error.errno not in _GONE:
            self.gone_since = None
        elif self.gone_since is None:
            self.gone_since = now
        is_news, self.error = text != self.error, text
        if is_news:
            self.search.restart()
        return is_news

    # --- where it leads ---

    async def follow(self, receive: Receive, step: Step = Step.STAY) -> Change:
        """Adapts the socket and the server's address to the current state of the machine; tells what has changed.

        Args:
            receive: Is called with what arrives on a new socket.
            step: What is done about the silence of the current endpoint.

        Raises:
            OSError: The link cannot be used now; the socket is closed if its address is gone.
        """
        self._check_gate()
        found = self.found = self.local()
        if self._bound is not None and self._bound not in found:
            self.close()
        bound, remote_before = self._bound, self.remote
        remote = None if self.detour.is_only_way else await self._next_remote(found, step)
        local = (self._bound or found[0]) if remote is None else self._choose(found, family(remote))
        escapes = step.escapes and not self.port and await self._escape(local, receive)
        if not escapes and local != bound:
            await self._open(local, receive)
        if remote is not None:
            self._use(remote, step)
        if bound is None:
            self._measured_on = local
            return Change.NETWORK
        return Change.ROUTE if escapes or (local, remote) != (bound, remote_before) else Change.NONE

    async def try_home(self, *, now: float) -> bool:
        """Sends only to the link's own endpoint from now on, to try it; tells whether it can be tried."""
        if self._bound is None:
            return False
        try:
            home = await self.targets.home([self._bound.family], self.names)
        except OSError:
            self.homing.on_failed(now=now)
            return False
        log.debug("link %s: trying its own endpoint %s again", self.name, format_address(home))
        self.homing.begin(now=now)
        self._resort, self.remote = self.remote, home
        return True

    def leave_home(self, *, now: float) -> None:
        """The link's own endpoint has not answered: the link uses again the address that works."""
        self.homing.on_failed(now=now)
        self.remote = self._resort or self.remote

    def close(self) -> None:
        """Closes the socket; `follow` opens another."""
        self._close_socket()
        self.detour.close()
        self._bound = None
        if self.homing.is_under_way:
            self.homing.stop()
            self.remote = self._resort

    def take_over(self, other: "Link") -> None:
        """Makes this link the one that `other` describes, for example on another interface; the path stays the same."""
        self.name, self.local, self.port = other.name, other.local, other.port
        self.gate, self._is_gate_due = other.gate, False
        self.endpoints, self.targets = other.endpoints, other.targets
        self.search, self.homing, self._errors = other.search, other.homing, other._errors
        self.detour.close()
        self.detour, self.transport, self.tls_endpoints = other.detour, other.transport, other.tls_endpoints
        self.remote = self.gone_since = self._measured_on = None
        self.close()

    # --- inside ---

    def _check_gate(self) -> None:
        problem = self.gate.problem() if self.gate is not None else ""
        if problem:
            raise OSError(errno.EDQUOT, problem)

    async def _next_remote(self, found: list[LocalAddress], step: Step) -> UdpAddress:
        """The current server address, or the next one if `step` rotates; the current one if there is no other."""
        families = [address.family for address in found]
        present = self.remote if self.remote is not None and family(self.remote) in families else None
        if present is not None and not step.rotates:
            return present
        try:
            return await self.targets.next(families, self.names)
        except OSError as error:
            if present is None:
                raise
            log.debug("link %s: %s", self.name, error.strerror)
            return present

    def _choose(self, found: list[LocalAddress], wanted: int) -> LocalAddress:
        """Chooses the local address: the one that is already bound stays, even if another is now better."""
        if self._bound is not None and self._bound.family == wanted:
            return self._bound
        return next(address for address in found if address.family == wanted)

    async def _escape(self, local: LocalAddress, receive: Receive) -> bool:
        """Opens another socket in place of one that may still work; tells whether that was possible."""
        try:
            await self._open(local, receive)
        except OSError as error:
            log.debug("link %s: no other port: %s", self.name, error.strerror)
            return False
        return True

    async def _open(self, local: LocalAddress, receive: Receive) -> None:
        """Opens another socket before the old one is closed, so that the port differs; not so with a fixed port.

        Raises OSError.
        """
        if self.port:
            self.close()
        sock = await UdpSocket.open(local.host, self.port, local.device, errors=self._errors)
        is_known = local == self._measured_on
        self._close_socket()
        self.sock, self._bound = sock, local
        self._receiver = asyncio.create_task(sock.receive(receive, self.defer))
        level = logging.DEBUG if is_known else logging.INFO
        log.log(level, "link %s: bound to %s", self.name, format_address(sock.local))

    def _use(self, remote: UdpAddress, step: Step) -> None:
        """The link uses this server address from now on."""
        if step is Step.ESCAPE:
            log.info("link %s: no answer from %s; trying another local port", self.name, format_address(remote))
        elif step.rotates or remote != self.remote:
            level = logging.DEBUG if step.rotates else logging.INFO
            log.log(level, "link %s: server at %s", self.name, format_address(remote))
        self.remote = remote
        if not self.homing.is_under_way:
            self.targets.note_asked(remote)

    def _close_socket(self) -> None:
        if self._receiver is not None:
            self._receiver.cancel()
        if self.sock is not None:
            self.sock.close()
        self.sock = self._receiver = None


def _is_same_place(one: UdpAddress, other: UdpAddress) -> bool:
    """Whether two addresses have the same host and port: event loops differ in the other parts of IPv6 addresses."""
    return one == other or (one[1] == other[1] and one[0].partition("%")[0] == other[0].partition("%")[0])

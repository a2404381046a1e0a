"""UDP sockets, read and written directly.

A transport of asyncio reads datagrams into a queue and wakes a task for them, which costs more than processing the
datagrams. And asyncio-dgram reports a failed send only at the next send, and drops that datagram instead: on a socket
that serves many peers, one peer's bad address would cost another peer's packet. So the event loop only reports when
the socket is readable, and packets are sent with the socket's own non-blocking `sendto`. What the kernel has no room
for is dropped and counted, as if the network had dropped it. Where the loop cannot report this (Windows),
asyncio-dgram receives (docs/decisions/0016).
"""

import asyncio
import contextlib
import ctypes
import errno
import logging
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from struct import Struct
from typing import cast

import asyncio_dgram

from tandem_transport.driver.batches import equal_runs
from tandem_transport.driver.deferral import Deferrable
from tandem_transport.driver.send_errors import SendErrors

log = logging.getLogger("tandem.udp")

BUFFER_SIZE = 4 << 20
"""Bytes of buffer requested from the kernel for each direction; Linux by default grants 208 KB, about 90 packets."""

_BATCH = 256
"""Maximum number of datagrams received before other work gets a turn."""

_LEAST_BUFFER = 1 << 10
"""Bytes of the kernel's buffer that a datagram uses, however small it is."""

_LARGEST = 65_535
"""Maximum bytes of a datagram, or of several that the kernel has merged."""

_LOOP_TELLS = sys.platform != "win32"
"""Whether an event loop can report that a socket is readable."""

_DROP_DEPTH = 1024
"""Maximum number of datagrams in asyncio-dgram's queue, which has no limit of its own. Older ones are dropped."""

_UDP_SEGMENT, _UDP_GRO = 103, 104
"""Socket options from <linux/udp.h>; the socket module has no names for them."""

_UINT16 = Struct("=H")

_SO_MEMINFO = 55
"""Socket option from <asm-generic/socket.h>: nine counters of a socket, the last of them its drops."""

_MEMINFO = Struct("=9I")

UdpAddress = tuple[str, int] | tuple[str, int, int, int]
"""An address in the format of the socket module, for IPv4 or IPv6."""

_Arrived = tuple[bytes, UdpAddress]

Handle = Callable[[Sequence[bytes], UdpAddress], None]
"""Is called with the datagrams that have arrived one after the other from one source address, and this address."""


Defer = Callable[[Deferrable, int], bool]
"""Is offered a socket, and what its last read returned; tells whether it reads the socket from now on."""


def family_of(host: str) -> socket.AddressFamily:
    """The address family of a literal address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def bound_socket(host: str, port: int, device: str | None = None, *, reuses_port: bool = False) -> socket.socket:
    """A non-blocking UDP socket, unconnected. Raises OSError.

    Args:
        host: A literal address.
        port: The local port, 0 for any.
        device: The interface that its packets must use. Routes alone would send them out of
            the default one, whatever the source address. Loopback needs no device.
        reuses_port: Other sockets of this user may have the same address (SO_REUSEPORT).
    """
    family = family_of(host)
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp.setblocking(False)
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_SIZE)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_SIZE)
        _forbid_fragments(udp)
        if reuses_port:
            share_port(udp)
        bind(udp, host, port, device)
    except OSError:
        udp.close()
        raise
    return udp


def bind(sock: socket.socket, host: str, port: int, device: str | None) -> None:
    """Binds a socket of any kind to an address, and to the device where one is named. Raises OSError."""
    if device is not None:
        _bind_to_device(sock, device)
    sock.bind((host, port))


def share_port(sock: socket.socket) -> None:
    """Lets other sockets of this user have the same address. Raises OSError where the system cannot (Windows)."""
    if sys.platform == "win32":
        raise OSError(errno.ENOPROTOOPT, "this system cannot share a port among processes")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def interface_index(device: str) -> int:
    """The system's number for an interface. Raises OSError where there is none of that name."""
    if sys.platform != "win32":
        return socket.if_nametoindex(device)
    # if_nametoindex wants a name there that nobody sees, such as ethernet_32770. People, and psutil, say Wi-Fi.
    helper, luid, index = ctypes.WinDLL("iphlpapi"), ctypes.c_uint64(), ctypes.c_uint32()
    failed = helper.ConvertInterfaceAliasToLuid(device, ctypes.byref(luid))
    if failed or helper.ConvertInterfaceLuidToIndex(ctypes.byref(luid), ctypes.byref(index)):
        raise OSError(errno.ENODEV, f"there is no interface {device} now")
    return index.value


def granted_buffers(udp: socket.socket) -> tuple[int, int]:
    """Sizes of the receive and the send buffer, in bytes; Linux reports twice what it uses for data."""
    return (
        udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
        udp.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
    )


def format_address(address: UdpAddress) -> str:
    """HOST:PORT, with brackets around an IPv6 host."""
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class UdpSocket:
    """A bound UDP socket that passes on what it receives."""

    def __init__(
        self, udp: socket.socket, stream: asyncio_dgram.aio.DatagramStream | None, errors: SendErrors | None = None
    ) -> None:
        """`stream` receives where the event loop cannot report that the socket is readable.

        `errors` may be shared with the next socket of the same owner.
        """
        self._udp = udp
        self._stream = stream
        self._errors = errors or SendErrors()
        self.local: UdpAddress = udp.getsockname()
        self.dropped = 0
        """Datagrams that were not sent, because the kernel had no room for them or reported an error."""
        self._is_closed = False
        self._reading: asyncio.Future[None] | None = None
        """Done when reading ends; None while the event loop does not watch the socket."""
        self._handle: Handle | None = None
        self._defer: Defer | None = None
        self._segments = _enable_offload(udp)
        """Whether the kernel makes datagrams out of a larger buffer (UDP_SEGMENT)."""

    @property
    def unread(self) -> int | None:
        """Datagrams that the kernel dropped because they were not read in time; None if unknown (known on Linux)."""
        if not sys.platform.startswith("linux"):
            return None
        if self._is_closed:
            return 0
        try:
            counters = self._udp.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:  # a kernel before 4.12
            return None
        return int(_MEMINFO.unpack(counters)[-1]) if len(counters) == _MEMINFO.size else None

    @property
    def error(self) -> str:
        """The error of the last send; empty once a send succeeds."""
        return self._errors.text

    @classmethod
    async def open(
        cls, host: str, port: int, device: str | None = None, *, errors: SendErrors | None = None
    ) -> "UdpSocket":
        """Opens and binds a socket. Raises OSError."""
        return await cls.adopt(bound_socket(host, port, device), errors=errors)

    @classmethod
    async def adopt(cls, udp: socket.socket, *, errors: SendErrors | None = None) -> "UdpSocket":
        """Takes over a socket of `bound_socket`, which perhaps another process has opened."""
        receive_buffer, send_buffer = granted_buffers(udp)
        log.debug("%s: buffers %d/%d bytes", format_address(udp.getsockname()), receive_buffer, send_buffer)
        return cls(udp, None if _LOOP_TELLS else await asyncio_dgram.from_socket(udp), errors)

    def send(self, data: bytes, address: UdpAddress) -> bool:
        """Sends one datagram, or drops it; tells whether it was sent."""
        return self.send_batch([data], address)

    def send_batch(self, batch: Sequence[bytes], address: UdpAddress) -> bool:
        """Sends datagrams to one address, or drops what the kernel does not take; tells whether it took all."""
        if self._is_closed:
            return False
        runs = equal_runs(batch) if len(batch) > 1 and self._segments else ([data] for data in batch)
        # A sum, not all(...), which would stop at the first failure: each run must be tried.
        return sum([self._send_run(run, address) for run in runs]) == 0

    def _send_run(self, run: Sequence[bytes], address: UdpAddress) -> int:
        """Sends datagrams of one size (the last may be shorter) in one system call; returns how many were dropped."""
        try:
            if len(run) == 1:
                self._udp.sendto(run[0], address)
            elif sys.platform == "linux":  # nowhere else is a run longer than one
                size = _UINT16.pack(len(run[0]))
                self._udp.sendmsg(run, [(socket.SOL_UDP, _UDP_SEGMENT, size)], 0, address)
        except BlockingIOError:
            self.dropped += len(run)
            return len(run)
        except OSError as error:
            self.dropped += len(run)
            if error.errno != errno.EMSGSIZE:  # a probe for larger packets; its loss is the answer
                self._errors.on_failure(error, format_address(self.local))
            return len(run)
        if self._errors.text:
            self._errors.on_success()
        return 0

    async def receive(self, handle: Handle, defer: Defer | None = None) -> None:
        """Passes every datagram on to `handle`, until the socket is closed.

        It is read when something comes; after that `defer` may take it, and reads it instead.
        """
        self._handle, self._defer = handle, defer
        if self._stream is not None:
            await self._receive_from(self._stream, handle)
        elif not self._is_closed:
            self._reading = asyncio.get_running_loop().create_future()
            self.watch()
            try:
                await self._reading
            finally:
                self._stop_reading()

    def watch(self) -> None:
        """The event loop reads the socket when something comes."""
        if self._reading is not None:
            self._reading.get_loop().add_reader(self._udp, self._on_readable)

    def _on_readable(self) -> None:
        size = self.read_now()
        if self._defer is not None and self._reading is not None and self._defer(self, size):
            self._reading.get_loop().remove_reader(self._udp)

    def read_now(self) -> int:
        """Reads what has come, and hands it on; returns how many bytes of the kernel's buffer it used, about."""
        if self._is_closed or self._handle is None:
            return 0
        receive, arrived = self._udp.recvfrom, list[_Arrived]()
        try:
            for _ in range(_BATCH):
                arrived.append(receive(_LARGEST))
        except BlockingIOError:
            pass
        except OSError as error:  # an ICMP error about an earlier datagram: the socket still works
            self._errors.report(error, format_address(self.local))
        self._hand_on(arrived, self._handle)
        return sum([max(len(data), _LEAST_BUFFER) for data, _ in arrived])

    def _stop_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.get_loop().remove_reader(self._udp)
            if not reading.done():
                reading.set_result(None)

    async def _receive_from(self, stream: asyncio_dgram.aio.DatagramStream, handle: Handle) -> None:
        # The only access to internals of asyncio-dgram: its queue has no limit, and no way to take all that waits.
        queue = cast("asyncio.Queue[tuple[bytes | None, UdpAddress]]", getattr(stream, "_recvq"))  # noqa: B009
        while True:
            try:
                data, address = cast("tuple[bytes, UdpAddress]", await stream.recv())
            except asyncio_dgram.TransportClosed:
                return
            except OSError as error:
                self._errors.report(error, format_address(self.local))
                continue
            arrived, is_over = [(data, address)], False
            for _ in range(min(queue.qsize(), _BATCH)):
                another, address = queue.get_nowait()
                if another is None:  # the end marker of asyncio-dgram
                    is_over = True
                    break
                arrived.append((another, address))
            self._hand_on(arrived, handle)
            if is_over:
                return
            for _ in range(queue.qsize() - _DROP_DEPTH):
                queue.get_nowait()
            await asyncio.sleep(0)

    def _hand_on(self, arrived: Sequence[_Arrived], handle: Handle) -> None:
        for source, group in groupby(arrived, itemgetter(1)):
            if not source[1] or self._is_closed:  # port 0 cannot be answered
                continue
            try:
                handle([data for data, _ in group], source)
            except Exception:
                # A bug of ours must cost one peer's datagrams, not the socket that serves all peers.
                log.exception("%s: datagrams from %s", format_address(self.local), format_address(source))

    def close(self) -> None:
        """Closes the socket; `receive` returns."""
        self._is_closed = True
        self._stop_reading()  # before another socket can get the same descriptor
        (self._stream or self._udp).close()


def all_unread(sockets: Iterable[UdpSocket]) -> int | None:
    """Datagrams that the kernel dropped on these sockets since each was opened; None where it does not count them."""
    counts = [sock.unread for sock in sockets]
    return None if None in counts else sum(count for count in counts if count is not None)


def _forbid_fragments(udp: socket.socket) -> None:
    """Forbids IP fragments: a lost one costs the whole datagram, and path MTU discovery needs large packets to fail."""
    is_ipv6 = udp.family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if is_ipv6 else socket.IPPROTO_IP
    option = {
        # IP_MTU_DISCOVER and IPV6_MTU_DISCOVER with PMTUDISC_PROBE: never fragment, never believe ICMP.
        "linux": (23 if is_ipv6 else 10, 3),
        "darwin": (62 if is_ipv6 else 28, 1),
        "win32": (14, 1),
    }.get(sys.platform)
    if option is not None:
        with contextlib.suppress(OSError):  # an older system, which then fragments
            udp.setsockopt(level, *option)


def _enable_offload(udp: socket.socket) -> bool:
    """Asks Linux to merge received datagrams (UDP_GRO); tells whether it can segment sent ones (UDP_SEGMENT).

    Both only save system calls: a packet contains its own length, so merged packets can be separated.
    """
    if sys.platform != "linux":
        return False
    try:
        udp.setsockopt(socket.SOL_UDP, _UDP_GRO, 1)
        udp.getsockopt(socket.SOL_UDP, _UDP_SEGMENT)
    except OSError:
        return False
    return True


def _bind_to_device(udp: socket.socket, device: str) -> None:
    if sys.platform == "linux":
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    elif sys.platform == "darwin":
        ip_bound_if, ipv6_bound_if = 25, 125  # <netinet/in.h>; the socket module has no names for them
        index = socket.if_nametoindex(device)
        if udp.family == socket.AF_INET:
            udp.setsockopt(socket.IPPROTO_IP, ip_bound_if, index)
        else:
            udp.setsockopt(socket.IPPROTO_IPV6, ipv6_bound_if, index)
    elif sys.platform == "win32":
        ip_unicast_if = 31
        index = interface_index(device)
        if udp.family == socket.AF_INET:
            udp.setsockopt(socket.IPPROTO_IP, ip_unicast_if, index.to_bytes(4, "big"))
        else:
            udp.setsockopt(socket.IPPROTO_IPV6, ip_unicast_if, index)

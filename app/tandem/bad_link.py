"""A bad link in real time, at the client's end: what `tandem demo` has, and `tandem drill` makes."""

import asyncio
import time
from collections.abc import Callable

from tandem.impairment import ImpairedLink, Impairment
from tandem_transport.driver import Link, UdpAddress
from tandem_transport.packets import split_datagram


class BadLink:
    """Impairs both directions of a link as long as it is attached."""

    def __init__(self, impairment: Impairment, *, seed: int) -> None:
        self._up = ImpairedLink(impairment, seed=seed)
        self._down = ImpairedLink(impairment, seed=seed + 1000)

    def attach(self, link: Link) -> None:
        """From now on."""

        def send(data: bytes, remote: UdpAddress) -> bool:
            sock = link.sock
            if sock is not None:
                _pass(self._up, len(data), lambda: sock.send(data, remote))
            return True

        def arrive(data: bytes, take: Callable[[bytes], None]) -> None:
            for packet in split_datagram(data):  # the kernel may have merged several
                self._take_later(packet.data, take)

        link.send, link.arrive = send, arrive

    def detach(self, link: Link) -> None:
        """What is on its way still arrives."""
        link.send = link.arrive = None

    def _take_later(self, data: bytes, take: Callable[[bytes], None]) -> None:
        _pass(self._down, len(data), lambda: take(data))


def _pass(link: ImpairedLink, size: int, deliver: Callable[[], object]) -> None:
    now = time.monotonic()
    loop = asyncio.get_running_loop()
    for at in link.send(size, now=now):
        loop.call_later(max(0.0, at - now), deliver)

"""A bad link in real time, at the client's end, for `tandem demo` and `tandem drill`."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from tandem.impair.impairment import ImpairedLink, Impairment
from tandem_transport.driver import Link, UdpAddress
from tandem_transport.wire.packets import split_datagram


@dataclass(frozen=True, slots=True)
class _Way:
    """How the packets of a link travel without this impairment: directly, or through another bad link."""

    send: Callable[[bytes, UdpAddress], bool] | None = None
    arrive: Callable[[bytes, Callable[[bytes], None]], None] | None = None

    def send_on(self, link: Link, data: bytes, remote: UdpAddress) -> None:
        if self.send is not None:
            self.send(data, remote)
        else:
            link.deliver(data, remote)

    def arrive_at(self, data: bytes, take: Callable[[bytes], None]) -> None:
        if self.arrive is not None:
            self.arrive(data, take)
        else:
            take(data)


class BadLink:
    """Impairs both directions of a link while it is attached."""

    def __init__(self, impairment: Impairment, *, seed: int) -> None:
        self._up = ImpairedLink(impairment, seed=seed)
        self._down = ImpairedLink(impairment, seed=seed + 1000)
        self._before = _Way()

    def attach(self, link: Link) -> None:
        """Impairs the link from now on, in addition to any impairment that it already has."""
        before = self._before = _Way(link.send, link.arrive)

        def send(data: bytes, remote: UdpAddress) -> bool:
            _pass(self._up, len(data), lambda: before.send_on(link, data, remote))
            return True

        def arrive(data: bytes, take: Callable[[bytes], None]) -> None:
            for packet in split_datagram(data):  # the kernel may have merged several packets
                self._arrive_later(packet.data, before, take)

        link.send, link.arrive = send, arrive

    def detach(self, link: Link) -> None:
        """Restores the link as it was before; packets that are on the way still arrive."""
        link.send, link.arrive = self._before.send, self._before.arrive

    def _arrive_later(self, data: bytes, before: "_Way", take: Callable[[bytes], None]) -> None:
        _pass(self._down, len(data), lambda: before.arrive_at(data, take))


def _pass(link: ImpairedLink, size: int, deliver: Callable[[], object]) -> None:
    now = time.monotonic()
    loop = asyncio.get_running_loop()
    for at in link.send(size, now=now):
        loop.call_later(max(0.0, at - now), deliver)

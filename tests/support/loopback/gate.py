"""A UDP relay that loses what it is told to lose: a link that a test can cut."""

import socket
import threading
from collections.abc import Sequence
from random import Random


class Gate:
    """Sits between a client's link and the server's port. Runs in a thread of its own."""

    def __init__(self, target: tuple[str, int], *, loss: float = 0.0, seed: int = 1) -> None:
        self.loss = loss
        self.lost_of_100 = 0
        """Beside that, towards the client alone: exactly so many of a hundred packets."""
        self._downs = 0
        self.is_cut = False
        self._target = target
        self._random = Random(seed)
        self._near = _udp()
        self._far = _udp()
        self._client: tuple[str, int] | None = None
        self._is_closed = False
        self.port: int = self._near.getsockname()[1]
        self._threads = [
            threading.Thread(target=self._up, daemon=True),
            threading.Thread(target=self._down, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._is_closed = True
        for thread in self._threads:
            thread.join(timeout=5)
        self._near.close()
        self._far.close()

    def _passes(self) -> bool:
        return not self.is_cut and self._random.random() >= self.loss

    def _up(self) -> None:
        while not self._is_closed:
            try:
                data, self._client = self._near.recvfrom(65536)
            except TimeoutError:
                continue
            if self._passes():
                self._far.sendto(data, self._target)

    def _down(self) -> None:
        while not self._is_closed:
            try:
                data, _ = self._far.recvfrom(65536)
            except (TimeoutError, ConnectionRefusedError):
                continue
            self._downs += 1
            is_dropped = self._downs * self.lost_of_100 // 100 > (self._downs - 1) * self.lost_of_100 // 100
            if self._client is not None and self._passes() and not is_dropped:
                self._near.sendto(data, self._client)


def _udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(0.2)
    return sock


def link_options(gates: Sequence[Gate]) -> list[str]:
    """A client's options for two links, `a` and `b`, from two local addresses through two gates."""
    named = zip("ab", ("127.0.0.2", "127.0.0.3"), gates, strict=True)
    return [item for name, host, gate in named for item in ("--link", f"{name}={host}@127.0.0.1:{gate.port}")]

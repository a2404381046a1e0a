"""Sockets that turns read themselves, instead of being woken by each packet.

On a real link packets come one by one. Each would wake the process, with cold caches, only for its turn to be put off.
So where turns come often anyway, little is carried, and nobody waits for an answer, the event loop no longer watches
the sockets. Network drivers know this as polling in place of interrupts (NAPI of Linux).
"""

from typing import Protocol

DEFERRED_GAP = 0.008
"""Seconds between two turns that read sockets."""

PATIENCE = 1.0
"""Seconds for which sockets are watched after somebody has waited for an answer, or much was carried."""

MAX_READ = 64 << 10
"""Maximum bytes of the kernel's buffer that a turn finds used at a socket which the next one shall read, too: that has
208 KB where nobody has raised it, and what comes may double in a round trip."""

MAX_SENT = 128
"""Maximum datagrams that such a turn sends: a faster sender needs more turns."""

EMPTY_READS = 4
"""Reads in a row that find nothing, after which a socket is watched again."""


class Deferrable(Protocol):
    """A socket that can be left unwatched."""

    def read_now(self) -> int:
        """Reads what has come, and hands it on; returns how many bytes of the kernel's buffer it used, about."""
        ...

    def watch(self) -> None:
        """From now on it is read when something comes."""
        ...


class Deferral:
    """The sockets that the next turn reads."""

    def __init__(self) -> None:
        self._empty_reads: dict[Deferrable, int] = {}
        """How often in a row each deferred socket had nothing."""
        self._patient_at = 0.0
        """The time from which sockets may be deferred."""

    def __bool__(self) -> bool:
        return bool(self._empty_reads)

    def suspend(self, *, now: float) -> None:
        """Sockets are watched from the next turn on, for PATIENCE."""
        self._patient_at = now + PATIENCE

    def accept(self, sock: Deferrable, size: int, *, now: float) -> bool:
        """Takes a socket whose last read returned `size`; tells whether it does. It need not be watched then."""
        self._suspend_if_much(size, now)
        if now < self._patient_at or not size:
            return False
        self._empty_reads[sock] = 0
        return True

    def read(self, *, now: float) -> None:
        """Reads all deferred sockets. Those that are not to be deferred any longer are watched."""
        for sock in list(self._empty_reads):
            size = sock.read_now()
            self._suspend_if_much(size, now)
            self._empty_reads[sock] = 0 if size else self._empty_reads[sock] + 1
        for sock, count in list(self._empty_reads.items()):
            if count >= EMPTY_READS or now < self._patient_at:
                del self._empty_reads[sock]
                sock.watch()

    def _suspend_if_much(self, size: int, now: float) -> None:
        if size > MAX_READ:
            self.suspend(now=now)

    def clear(self) -> None:
        """Forgets all sockets: nobody reads them any more."""
        self._empty_reads.clear()

"""Where a path's packets go: the peer's address, and its validation.

The newest authentic packet tells the address (NAT rebinding, roaming, sleep). It may be a
copy that a stranger sent from a victim's address. So until a PATH_RESPONSE has come back
from an address, at most three times the bytes received from it are sent there (RFC 9000
sections 8.1 and 9.3). The last validated address is challenged too: if it answers first, the
path goes back to it (RFC 9000 section 9.3.3).
"""

from collections.abc import Callable, Hashable, Iterator
from math import inf
from typing import Final, NamedTuple

from tandem_transport.crypto.handshake import Randomness
from tandem_transport.parameters import AMPLIFICATION_LIMIT
from tandem_transport.wire.frames import PathChallengeFrame

_MAX_KNOWN: Final = 8
"""Number of addresses of a path that are remembered besides those in use."""

_CHALLENGE_INTERVAL: Final = 0.5
"""Seconds between two challenges to one address, and between two moves to addresses that are not validated."""

_FIRST_REPEAT: Final = 0.1
"""Seconds after which the first challenge is repeated; each further interval is twice as long. The first ones are
short because the path carries little until the answer comes, and a bad link loses one of three round trips."""

_HOME_CHALLENGES: Final = 6
"""Number of challenges to the last validated address; an address that answers none of them is gone."""

HostOf = Callable[[Hashable], Hashable]
"""Returns what addresses have in common where only the port differs."""


class Addressed(NamedTuple):
    """A frame that is meant for one address."""

    frame: bytes
    address: Hashable


class _Record:
    """What is known about one address."""

    __slots__ = ("address", "challenge", "challenged_at", "challenges", "credit", "is_proven")

    def __init__(self, address: Hashable, *, is_proven: bool) -> None:
        self.address = address
        self.is_proven = is_proven
        self.credit = 0
        """Bytes that may be sent before the address is validated."""
        self.challenge: bytes | None = None
        """Data of the PATH_CHALLENGE that waits for its response."""
        self.challenged_at = -inf
        self.challenges = 0


class PathAddresses:
    """The peer's addresses on one path, as a server sees them.

    A client's path has one address, which its driver knows and which needs no validation: `is_fixed`.
    """

    def __init__(self, *, is_fixed: bool, randomness: Randomness, host_of: HostOf) -> None:
        self.is_fixed = is_fixed
        """The path has one address, and it needs no validation."""
        self._randomness = randomness
        self._host_of = host_of
        self._known: dict[Hashable, _Record] = {}
        self._current = _Record(None, is_proven=is_fixed)
        self._newest = self._current
        """The address that the highest-numbered packet came from."""
        self._network: Hashable = None
        """The host of the address that was validated last."""
        self._home: _Record | None = None
        """The last validated address, while the current one is not validated."""
        self._is_stable = False
        """The old address has answered although packets came from another one. So the next new address is challenged
        before it gets anything else."""
        self._moved_at = -inf
        self._waiting: dict[Hashable, bytes] = {}
        """Encoded challenges that wait to be sent, by address."""

    # --- questions ---

    @property
    def current(self) -> Hashable:
        """The address that packets are sent to; None for the one that only the driver knows."""
        return self._current.address

    @property
    def is_doubted(self) -> bool:
        """The current address is not validated, or another one is challenged too: sent bytes must be counted."""
        return not self._current.is_proven or self._home is not None

    @property
    def allowance(self) -> float:
        """Bytes that may be sent to the current address now."""
        return inf if self._current.is_proven else self._current.credit

    def may_send(self, size: int, *, to: Hashable = None) -> bool:
        """Whether a packet of this size may be sent to the current address, or to another known one (`to`)."""
        if to is None:
            return self.allowance >= size
        record = self._known.get(to)
        return record is not None and (record.is_proven or record.credit >= size)

    # --- input ---

    def on_received(self, source: Hashable, size: int, *, is_newest: bool, now: float) -> None:
        """An authentic packet has arrived from `source`; `is_newest`: its number is the path's highest."""
        if self.is_fixed:
            return
        record = self._known.get(source) or (self._add(source) if is_newest else None)
        if record is None:
            return
        if not record.is_proven:
            record.credit += AMPLIFICATION_LIMIT * size
        if is_newest:
            self._newest = record
            if record is not self._current:
                self._on_other_source(record, now)

    def on_sent(self, size: int, address: Hashable) -> None:
        """A packet of `size` bytes has left for an address."""
        record = self._known.get(address)
        if record is not None and not record.is_proven:
            record.credit -= size

    def on_response(self, data: bytes) -> bool:
        """A PATH_RESPONSE has arrived. Tells whether the path has moved to another host, and so perhaps network."""
        record = next((known for known in self._known.values() if known.challenge == data), None)
        if record is None:
            return False
        record.challenge = None
        if record is self._home:
            self._current, self._home, self._is_stable = record, None, True
        elif record is self._newest:
            self._confirm(record)
            return self._is_other_network(self._host_of(record.address))
        return False

    def repeat_challenges(self, *, now: float) -> None:
        """Repeats the challenges that are due."""
        for record in self._doubted():
            if now >= _repeat_at(record):
                self._challenge(record, now)

    def next_timeout(self) -> float | None:
        """When `repeat_challenges` has something to do."""
        return min(map(_repeat_at, self._doubted()), default=None)

    # --- output ---

    @property
    def has_waiting(self) -> bool:
        """Whether challenges wait to be sent."""
        return bool(self._waiting)

    def take_waiting(self) -> list[Addressed]:
        """Takes the challenges that must be sent now."""
        if not self._waiting:
            return []
        waiting, self._waiting = self._waiting, {}
        return [Addressed(frame, address) for address, frame in waiting.items()]

    # --- inside ---

    def _doubted(self) -> Iterator[_Record]:
        """The addresses that are challenged until they answer."""
        current, home = self._current, self._home
        if not current.is_proven and current.challenges:
            yield current
        if home is not None and home.challenges < _HOME_CHALLENGES:
            yield home

    def _on_other_source(self, record: _Record, now: float) -> None:
        if not self._is_stable and now >= self._moved_at + _CHALLENGE_INTERVAL:
            self._doubt_both(record, now)
        elif self._is_due(record, now):
            self._challenge(record, now)

    def _doubt_both(self, record: _Record, now: float) -> None:
        if self._current.is_proven:
            self._home, self._current.challenges = self._current, 0
            self._challenge(self._current, now)
        self._current, self._moved_at = record, now
        self._challenge(record, now)

    def _confirm(self, record: _Record) -> None:
        """An address is validated. All others lose their validation and have to answer a challenge again."""
        for known in self._known.values():
            if known.is_proven and known is not record:
                known.is_proven, known.credit, known.challenge = False, 0, None
        record.is_proven, self._is_stable = True, False
        self._current, self._home = record, None

    def _is_other_network(self, host: Hashable) -> bool:
        before, self._network = self._network, host
        return before is not None and before != host

    def _is_due(self, record: _Record, now: float) -> bool:
        return now >= record.challenged_at + _CHALLENGE_INTERVAL

    def _challenge(self, record: _Record, now: float) -> None:
        if record.challenge is None:
            record.challenge = self._randomness(8)
        record.challenged_at = now
        record.challenges += 1
        self._waiting[record.address] = PathChallengeFrame(record.challenge).encode()

    def _add(self, source: Hashable) -> _Record:
        in_use = (self._current, self._home, self._newest)
        others = [known for known in self._known.values() if known not in in_use]
        if len(others) >= _MAX_KNOWN:
            del self._known[others[0].address]
            self._waiting.pop(others[0].address, None)
        record = self._known[source] = _Record(source, is_proven=False)
        return record


def _repeat_at(record: _Record) -> float:
    """When an unanswered challenge is repeated."""
    doublings = min(max(record.challenges, 1) - 1, 8)
    return record.challenged_at + min(_CHALLENGE_INTERVAL, _FIRST_REPEAT * 2.0**doublings)

"""What a program without Tandem has: one TCP connection over one of the bad links, which downloads without end.

It is computed, because a demonstration cannot make the system's own TCP lose packets without root. It has what a modern
TCP has: selective acknowledgements, CUBIC (RFC 9438), losses seen as soon as something sent later has arrived and
probes at the tail (RFC 8985), timeouts (RFC 6298, with Linux's minimum). In doubt it is better than a real one: it
acknowledges every segment at once, and every acknowledgement tells all that has arrived. docs/decisions/0028 compares
it with Linux.
"""

import heapq
from collections.abc import Callable
from itertools import takewhile
from typing import NamedTuple

from tandem.demo.cubic import Cubic

MSS = 1448
"""Bytes of content of a segment."""

SEGMENT = 1500
"""Bytes of a segment on the wire."""

ACK = 52
"""Bytes of an acknowledgement on the wire."""

_MIN_VARIANCE = 0.2
"""Seconds that a timeout lies above the round trip at least, as in Linux; RFC 6298 would wait a whole second."""

_MAX_TIMEOUT = 120.0

Way = Callable[[int, float], list[float]]
"""One direction of a link: takes a size in bytes and the time, and gives the times at which the packet arrives."""


class _Event(NamedTuple):
    at: float
    order: int
    happens: Callable[[float], None]


class _Arrived(NamedTuple):
    """What an acknowledgement tells: all before `next`, and those of `beyond`, have arrived."""

    next: int
    beyond: frozenset[int]


class PlainTcp:
    """A download over one link. Segments are counted from 0."""

    def __init__(self, down: Way, up: Way) -> None:
        self._down, self._up = down, up
        self._events: list[_Event] = []
        self._order = 0
        self._cubic = Cubic()
        self._next = 0
        """The first segment that was never sent."""
        self._acked = 0
        """All segments before this one have arrived, as far as the sender knows."""
        self._beyond: frozenset[int] = frozenset()
        self._in_flight: dict[int, tuple[int, float]] = {}
        """For each segment on its way: the number of its last transmission, and when that was."""
        self._lost: set[int] = set()
        self._sent_again: set[int] = set()
        self._transmissions = self._last_arrived = 0
        self._rtt: float | None = None
        self._variance = 0.0
        self._backoff = 1
        self._timer = 0
        """The number of the timer that counts; older ones are void."""
        self._got: set[int] = set()
        self._got_all_before = 0

    @property
    def received(self) -> int:
        """Bytes that the receiving program has been given, in order."""
        return self._got_all_before * MSS

    def start(self, now: float) -> None:
        """Begins the download."""
        self._fill(now)

    def advance(self, now: float) -> None:
        """Does everything that happens until `now`."""
        while self._events and self._events[0].at <= now:
            event = heapq.heappop(self._events)
            event.happens(event.at)

    @property
    def next_at(self) -> float:
        """When something happens next."""
        return self._events[0].at if self._events else float("inf")

    # --- the sender ---

    def _fill(self, now: float) -> None:
        while len(self._in_flight) < int(self._cubic.window):
            if self._lost:
                segment = min(self._lost)
                self._lost.discard(segment)
                self._sent_again.add(segment)
            else:
                segment, self._next = self._next, self._next + 1
            self._transmit(segment, now)
        self._arm(now)

    def _transmit(self, segment: int, now: float) -> None:
        self._transmissions += 1
        self._in_flight.pop(segment, None)  # so that the order of the table is the order of transmissions
        self._in_flight[segment] = (self._transmissions, now)
        for at in self._down(SEGMENT, now):
            self._at(at, lambda at: self._on_segment(segment, at))

    def _on_ack(self, arrived: _Arrived, now: float) -> None:
        told = {*range(self._acked, arrived.next), *(arrived.beyond - self._beyond)}
        self._acked, self._beyond = max(self._acked, arrived.next), arrived.beyond
        self._lost -= told
        new = [segment for segment in told if segment in self._in_flight]
        for segment in new:
            transmission, sent_at = self._in_flight.pop(segment)
            self._last_arrived = max(self._last_arrived, transmission)
            if segment not in self._sent_again:
                self._sample(now - sent_at)
            self._sent_again.discard(segment)
        if new:
            self._backoff = 1
            self._cubic.on_acked(len(new), rtt=self._rtt or 0.0, is_recovering=self._is_recovering, now=now)
            self._find_losses(now)
            self._fill(now)

    @property
    def _is_recovering(self) -> bool:
        return self._acked < self._cubic.recovery_end

    def _find_losses(self, now: float) -> None:
        """What was sent before something that has arrived is lost: the link keeps the order."""
        sent = ((one, number) for one, (number, _) in self._in_flight.items())
        lost = {one for one, _ in takewhile(lambda item: item[1] < self._last_arrived, sent)}
        for segment in lost:
            del self._in_flight[segment]
        self._lost |= lost
        if lost and not self._is_recovering:
            self._cubic.on_loss(recovery_end=self._next, now=now)

    def _sample(self, rtt: float) -> None:
        if self._rtt is None:
            self._rtt, self._variance = rtt, rtt / 2
            return
        self._variance += (abs(rtt - self._rtt) - self._variance) / 4
        self._rtt += (rtt - self._rtt) / 8

    # --- timers ---

    def _arm(self, now: float) -> None:
        """Sets the timer for a probe, or for a timeout once a probe was sent, in place of the one before."""
        self._timer += 1
        timer = self._timer
        self._at(now + self._timeout, lambda at: self._on_timeout(timer, at))
        if self._rtt is not None and self._backoff == 1:
            self._at(now + 2 * self._rtt, lambda at: self._probe(timer, at))

    @property
    def _timeout(self) -> float:
        if self._rtt is None:
            return 1.0
        return min(_MAX_TIMEOUT, self._backoff * (self._rtt + max(_MIN_VARIANCE, 4 * self._variance)))

    def _probe(self, timer: int, now: float) -> None:
        """Sends the last segment again, so that an acknowledgement shows what is lost before it."""
        if timer == self._timer and self._in_flight:
            last = max(self._in_flight)
            self._sent_again.add(last)
            self._transmit(last, now)

    def _on_timeout(self, timer: int, now: float) -> None:
        if timer != self._timer:
            return
        self._lost |= set(self._in_flight)
        self._in_flight.clear()
        self._backoff *= 2
        self._cubic.on_timeout(recovery_end=self._next)
        self._fill(now)

    # --- the receiver ---

    def _on_segment(self, segment: int, now: float) -> None:
        if segment >= self._got_all_before:
            self._got.add(segment)
        while self._got_all_before in self._got:
            self._got.discard(self._got_all_before)
            self._got_all_before += 1
        arrived = _Arrived(self._got_all_before, frozenset(self._got))
        for at in self._up(ACK, now):
            self._at(at, lambda at: self._on_ack(arrived, at))

    def _at(self, at: float, happens: Callable[[float], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, _Event(at, self._order, happens))

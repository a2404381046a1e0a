"""Which direction of a path works: a path is probed, and answers come over it, over other paths, or not at all."""

from collections.abc import Iterable
from math import inf
from typing import Final

from tandem_transport.parameters import KEEPALIVE_ACTIVE
from tandem_transport.recovery.recovery import Recovery
from tandem_transport.recovery.sent_packet import SentPacket

ENOUGH: Final = 8
"""Number of missing answers after which a direction counts as dead: even at 30 % loss, this is not chance."""

MIN_SILENCE: Final = 1.2
"""Minimum seconds of missing answers before a direction counts as dead: a burst of losses or a handover is shorter."""

QUICK: Final = 0.1
"""Seconds between two probes of a path in doubt."""

QUICK_FOR: Final = 3.0
"""Seconds for which a path in doubt is probed every QUICK seconds."""

_ASKED_AGAIN: Final = 1.0
"""A peer that asks for an answer twice within this time, in seconds, misses answers or has data to send."""

_HEARD_PTOS: Final = 2.0
_HEARD_MIN: Final = 0.3
"""Minimum time that a path is heard before missing acknowledgements mean anything: _HEARD_PTOS probe timeouts plus
_HEARD_MIN seconds. When a path dies or returns, both of its directions do so at about the same time."""

_HEARD_GAP: Final = 2.0
"""Seconds without a packet after which the time that a path is heard (_HEARD_MIN) begins again."""


class Hearing:
    """What is heard on one path, compared with what is known about the packets sent on it."""

    __slots__ = (
        "_arrived_until",
        "_enough_at",
        "_muted_at",
        "_was_asked_at",
        "arrived",
        "asked_at",
        "heard_at",
        "heard_since",
        "is_deaf",
        "is_mute",
    )

    def __init__(self) -> None:
        self.heard_at: float | None = None
        """When the last packet arrived on this path."""
        self.heard_since = 0.0
        """When the first packet after the last long silence arrived on this path."""
        self.asked_at: float | None = None
        """When the first ack-eliciting packet was sent after `heard_at`; the peer answers each on the path it took."""
        self.arrived = 0
        """Packets sent since `asked_at` that have arrived, according to acknowledgements on other paths."""
        self._arrived_until = 0.0
        """When the packet was sent that raised `arrived` to ENOUGH."""
        self._enough_at = 0.0
        """When the packet was sent that raised the number of unanswered packets to ENOUGH."""
        self._was_asked_at = -inf
        self.is_deaf = False
        """Our packets arrive at the peer, but nothing comes back on this path."""
        self._muted_at = 0.0
        self.is_mute = False
        """None of our packets on this path arrive, although the peer's packets do."""

    @property
    def is_one_way(self) -> bool:
        """Only one of the directions works."""
        return self.is_deaf or self.is_mute

    def begin_anew(self) -> None:
        """Forgets the answers that are missing so far, because their cause is known."""
        self.asked_at, self.arrived = None, 0
        self.is_deaf = self.is_mute = False

    def excuse(self, seconds: float, *, now: float) -> None:
        """This end did not read its sockets for `seconds`: they do not count as silence."""
        if self.asked_at is not None:
            self.asked_at = min(now, self.asked_at + seconds)
        if self.heard_at is not None:
            self.heard_at = min(now, self.heard_at + seconds)
        self._arrived_until += seconds
        self._enough_at += seconds

    def on_received(self, *, now: float) -> None:
        """A packet has arrived on this path."""
        if self.heard_at is None or now - self.heard_at > _HEARD_GAP:
            self.heard_since = now
        self.heard_at = now
        self.asked_at, self.arrived, self.is_deaf = None, 0, False

    def on_sent(self, unanswered: int, *, now: float) -> None:
        """An ack-eliciting packet leaves; `unanswered` packets, with this one, are without an answer."""
        if self.asked_at is None:
            self.asked_at = now
        if unanswered == ENOUGH:
            self._enough_at = now

    def is_asked_again(self, recovery: Recovery, *, now: float) -> bool:
        """An ack-eliciting packet has arrived. Tells whether the peer seems to miss answers, so we should probe too."""
        before, self._was_asked_at = self._was_asked_at, now
        if now - before >= _ASKED_AGAIN or not recovery.is_idle:
            return False
        return now - recovery.last_sent_at >= KEEPALIVE_ACTIVE

    def on_acked(self, packets: Iterable[SentPacket]) -> None:
        """Packets are acknowledged on another path, while nothing was heard on this one since `asked_at`."""
        for packet in packets:
            if self.asked_at is not None and packet.sent_at >= self.asked_at:
                self.arrived += 1
                if self.arrived == ENOUGH:
                    self._arrived_until = packet.sent_at

    def update(self, recovery: Recovery, silent_after: float, *, now: float) -> None:
        """Updates `is_deaf` and `is_mute`; a path is silent if it was not heard for `silent_after` seconds."""
        timeout = recovery.rtt.probe_timeout(0.0)
        self.is_deaf = self.is_deaf or self._misses_answers(timeout, now)
        since = recovery.unanswered_since
        if since is None or self.heard_at is None or now - self.heard_at > silent_after:
            self.is_mute = False
        elif self.is_mute:
            self.is_mute = (recovery.last_acked_at or 0.0) <= self._muted_at
        elif self._is_ignored(since, recovery.unanswered, timeout, now):
            self.is_mute, self._muted_at = True, now

    def probe_at(self, recovery: Recovery) -> float | None:
        """When to probe a path in doubt again; None where there is no doubt, or it was probed enough. From these
        probes the other end learns which direction works, too."""
        since = self._doubted_since(recovery)
        if since is None or recovery.last_sent_at > since + QUICK_FOR:
            return None
        return max(since + recovery.rtt.probe_timeout(0.0), recovery.last_sent_at + QUICK)

    def _doubted_since(self, recovery: Recovery) -> float | None:
        if self.asked_at is not None and self.arrived:
            return self.asked_at
        since = recovery.unanswered_since
        if since is None or self.heard_at is None or not recovery.pto_count:
            return None
        return since if self.heard_at - since > _HEARD_MIN else None

    def _misses_answers(self, timeout: float, now: float) -> bool:
        if self.asked_at is None or self.arrived < ENOUGH:
            return False
        return now >= max(self._arrived_until + timeout, self.asked_at + MIN_SILENCE)

    def _is_ignored(self, since: float, unanswered: int, timeout: float, now: float) -> bool:
        if unanswered < ENOUGH or self.heard_at is None:
            return False
        minimum = _HEARD_PTOS * timeout + _HEARD_MIN
        is_heard = self.heard_at - max(self.heard_since, since) >= minimum
        return is_heard and now >= max(self._enough_at + timeout, since + MIN_SILENCE)

"""Which direction of a path works: a path is asked, and its answers may come over it, over others, or not at all."""

from collections.abc import Iterable

from tandem_transport.parameters import KEEPALIVE_ACTIVE
from tandem_transport.recovery.recovery import Recovery
from tandem_transport.recovery.sent_packet import SentPacket

ENOUGH = 8
"""Packets whose answers are missing, before a direction is called dead: at 30 % loss that is no chance any more."""

MIN_SILENCE = 1.2
"""Seconds that they span at least, with their answers: a burst of losses, or a hand-over, is shorter."""

QUICK = 0.1
"""Seconds between the packets that ask a path in doubt ..."""

QUICK_FOR = 3.0
"""... for this long."""

_ASKED_AGAIN = 1.0
"""Seconds within which a peer asks twice only if it misses answers, or has data."""

_HEARD_PTOS = 2.0
_HEARD_MIN = 0.3
"""How long a path is heard, in probe timeouts and seconds, before its silence about our packets says anything:
both directions of one that dies or returns do so at about the same time."""

_HEARD_GAP = 2.0
"""Seconds without a packet after which a path has to be heard anew for that long."""


class Hearing:
    """What is heard on one path, beside what is known of the packets sent there."""

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
        """Last packet of the path."""
        self.heard_since = 0.0
        """First one after a long silence."""
        self.asked_at: float | None = None
        """First packet sent since then that asks for an answer; every one is answered on the path it took."""
        self.arrived = 0
        """Of these, packets that have arrived, as other paths tell."""
        self._arrived_until = 0.0
        """When the one was sent that made them enough."""
        self._enough_at = 0.0
        """When the packet was sent that made the unanswered ones enough."""
        self._was_asked_at = float("-inf")
        self.is_deaf = False
        """What is sent arrives, nothing comes back."""
        self._muted_at = 0.0
        self.is_mute = False
        """Nothing that is sent here arrives, though the peer's packets do."""

    @property
    def is_one_way(self) -> bool:
        """Only one of the directions works."""
        return self.is_deaf or self.is_mute

    def begin_anew(self) -> None:
        """What was missed so far has found its explanation."""
        self.asked_at, self.arrived = None, 0
        self.is_deaf = self.is_mute = False

    def excuse(self, seconds: float, *, now: float) -> None:
        """This end did not listen for so long."""
        if self.asked_at is not None:
            self.asked_at = min(now, self.asked_at + seconds)
        if self.heard_at is not None:
            self.heard_at = min(now, self.heard_at + seconds)
        self._arrived_until += seconds
        self._enough_at += seconds

    def on_received(self, *, now: float) -> None:
        """A packet has come over this path."""
        if self.heard_at is None or now - self.heard_at > _HEARD_GAP:
            self.heard_since = now
        self.heard_at = now
        self.asked_at, self.arrived, self.is_deaf = None, 0, False

    def on_sent(self, unanswered: int, *, now: float) -> None:
        """A packet that asks for an answer leaves, the `unanswered`-th without one."""
        if self.asked_at is None:
            self.asked_at = now
        if unanswered == ENOUGH:
            self._enough_at = now

    def is_asked_again(self, recovery: Recovery, *, now: float) -> bool:
        """A packet asks for an answer. Tells whether the peer seems to miss answers, so that we should ask too."""
        before, self._was_asked_at = self._was_asked_at, now
        if now - before >= _ASKED_AGAIN or not recovery.is_idle:
            return False
        return now - recovery.last_sent_at >= KEEPALIVE_ACTIVE

    def on_acked(self, packets: Iterable[SentPacket]) -> None:
        """Packets have arrived, and nothing was heard here since the first of them was sent."""
        for packet in packets:
            if self.asked_at is not None and packet.sent_at >= self.asked_at:
                self.arrived += 1
                if self.arrived == ENOUGH:
                    self._arrived_until = packet.sent_at

    def update(self, recovery: Recovery, silent_after: float, *, now: float) -> None:
        """Decides anew; `silent_after`: seconds after which a path that is asked now and then has been silent."""
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
        """When to ask a path in doubt once more; None where there is no doubt, or enough was asked. The other end
        learns from these what it needs for its own verdict."""
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

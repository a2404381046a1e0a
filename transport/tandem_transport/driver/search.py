"""When a link tries another address of the server, another port of its own, or its own endpoint again.

Time is the argument `now`, in seconds of a monotonic clock.
"""

from enum import Enum, auto

ROTATE_AFTER = 3.0
"""Seconds without an answer after which a link tries the server's next address."""

ESCAPE_AFTER = 10.0
"""Seconds without an answer after which a link takes another local port: a NAT or a firewall on the way may have
lost the state of the current flow, and our packets on this flow keep the wrong state alive."""

ESCAPE_ROTATIONS = 2
"""Number of addresses that a link tries from one local port, after it has changed the port for the first time."""

HOME_AFTER = 60.0
"""Seconds after which a link that works at another endpoint tries its own one again; twice as long after each trial
without an answer."""

HOME_AFTER_MAX = 600.0
"""Maximum seconds between two trials of a link's own endpoint."""

HOME_TRIAL = 1.0
"""Seconds that the link's own endpoint has to answer; what is sent on the link meanwhile may be lost."""

_STOOD_STILL = 3.0
"""Seconds between two checks that show that this process was late: it first reads what has arrived meanwhile."""


class Step(Enum):
    """What a link does about the server's silence."""

    STAY = auto()
    ROTATE = auto()
    """The link tries the server's next address."""
    ESCAPE = auto()
    """The link keeps the server's address, and takes another local port."""
    ROTATE_AND_ESCAPE = auto()

    @property
    def rotates(self) -> bool:
        """The step includes another address."""
        return self in (Step.ROTATE, Step.ROTATE_AND_ESCAPE)

    @property
    def escapes(self) -> bool:
        """The step includes another port."""
        return self in (Step.ESCAPE, Step.ROTATE_AND_ESCAPE)


class Search:
    """Measures the silence of one link: since when no answer has arrived, although one is expected."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        """When the first packet was sent that waits for an answer; None where none does."""
        self._tried_since = float("-inf")
        """When the current address and port were first used."""
        self._looked_at: float | None = None
        self._is_late = False
        self._rotations = 0
        """Rotations since the last escape."""
        self.steps = 0
        """Rotations and escapes since the last answer."""
        self._has_escaped = False

    @property
    def is_waiting(self) -> bool:
        """Something that was sent waits for an answer."""
        return self._asked_at is not None

    def silence(self, *, now: float) -> float:
        """Seconds since the first unanswered packet was sent, 0 where all is answered."""
        return 0.0 if self._asked_at is None else now - self._asked_at

    def is_answered(self, *, unacknowledged: float) -> bool:
        """Whether a packet that has arrived counts as an answer: packets that the server sends without being asked do
        not show that ours arrive. `unacknowledged`: seconds for which no packet sent on the link was acknowledged."""
        return unacknowledged < ROTATE_AFTER

    def on_asked(self, *, now: float) -> None:
        """A packet has left that asks for an answer."""
        if self._asked_at is None:
            self._asked_at = now

    def on_answer(self) -> None:
        """The server has answered at the address that the link uses."""
        self._asked_at = None
        self._rotations = self.steps = 0
        self._has_escaped = False

    def restart(self) -> None:
        """The silence had another, known reason, which is over; the next silence is measured from its beginning."""
        self.on_answer()

    def next_step(self, *, unacknowledged: float = 0.0, now: float) -> Step:
        """The step that the caller should take now; to be called about once a second.

        `unacknowledged`: seconds for which no packet sent on the link was acknowledged, 0 where none waits for an
        acknowledgement. The server's packets may still arrive in this time.
        """
        if self._has_stood_still(now):
            return Step.STAY
        step = self._due_step(max(self.silence(now=now), unacknowledged), now)
        if step is not Step.STAY:
            self._take(step, now)
        return step

    def on_moved(self, *, now: float) -> None:
        """The link has another socket or another server address."""
        self._tried_since = now

    def _has_stood_still(self, now: float) -> bool:
        """This check is late, and the one before was not. On a machine that is always late, links must still move."""
        last, self._looked_at = self._looked_at, now
        was_late, self._is_late = self._is_late, last is not None and now - last > _STOOD_STILL
        return self._is_late and not was_late

    def _due_step(self, silence: float, now: float) -> Step:
        if silence >= ESCAPE_AFTER and not self._has_escaped:
            return Step.ESCAPE
        if min(silence, now - self._tried_since) < ROTATE_AFTER:
            return Step.STAY
        is_escape_due = self._has_escaped and self._rotations + 1 >= ESCAPE_ROTATIONS
        return Step.ROTATE_AND_ESCAPE if is_escape_due else Step.ROTATE

    def _take(self, step: Step, now: float) -> None:
        self.steps += 1
        self._tried_since = now
        self._rotations = 0 if step.escapes else self._rotations + 1
        self._has_escaped = self._has_escaped or step.escapes


class Homing:
    """Brings a link that works at another endpoint back to its own one (its home), once that answers again."""

    def __init__(self) -> None:
        self._wait = HOME_AFTER
        self._next_at: float | None = None
        """When the next trial is due; None while the link uses its own endpoint."""
        self._trial_since: float | None = None

    @property
    def is_under_way(self) -> bool:
        """The link's own endpoint is being tried."""
        return self._trial_since is not None

    def is_due(self, *, now: float) -> bool:
        """A trial should begin, as soon as it is harmless."""
        return not self.is_under_way and self._next_at is not None and now >= self._next_at

    def is_over(self, *, now: float) -> bool:
        """The time of the trial is over, and the link's own endpoint has not answered."""
        return self._trial_since is not None and now - self._trial_since >= 0.95 * HOME_TRIAL

    def begin(self, *, now: float) -> None:
        """Begins a trial: the link uses its own endpoint now."""
        self._trial_since = now

    def on_answer(self, *, is_home: bool, now: float) -> None:
        """The server has answered; `is_home`: at an address of the link's own endpoint."""
        if is_home:
            self._trial_since = self._next_at = None
            self._wait = HOME_AFTER
        elif self._next_at is None:
            self._next_at = now + self._wait

    def on_failed(self, *, now: float) -> None:
        """The trial has ended without an answer, or could not even begin."""
        self._trial_since = None
        self._wait = min(2 * self._wait, HOME_AFTER_MAX)
        self._next_at = now + self._wait

    def stop(self) -> None:
        """Stops a trial without a result, because the link's socket was closed."""
        self._trial_since = None

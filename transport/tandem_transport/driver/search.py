"""When a link tries another address of the server, another port of its own, or its own endpoint again.

Time is the argument `now`, in seconds of a monotonic clock.
"""

from enum import Enum, auto

ROTATE_AFTER = 3.0
"""Seconds without an answer after which a link tries the server's next address."""

ESCAPE_AFTER = 10.0
"""Seconds without an answer after which a link takes another local port: a NAT or a firewall on the way may have
lost the present flow, and every packet of ours keeps its mistake alive."""

ESCAPE_ROTATIONS = 2
"""After the first new port, each so many addresses get another one."""

HOME_AFTER = 60.0
"""Seconds after which a link that works at another endpoint tries its own one again; twice as long after each trial
without an answer."""

HOME_AFTER_MAX = 600.0
"""The longest time between two such trials, in seconds."""

HOME_TRIAL = 1.0
"""Seconds that the link's own endpoint has to answer; what is sent on the link meanwhile may be lost."""

_STOOD_STILL = 3.0
"""Seconds between two looks that mean that this process was late: what has arrived meanwhile is read first."""


class Step(Enum):
    """What a link does about the silence."""

    STAY = auto()
    ROTATE = auto()
    """It tries the next address."""
    ESCAPE = auto()
    """It keeps the address, and takes another local port."""
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
    """Counts the silence of one link: since when nothing has arrived, although an answer was asked for."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        """When the first packet was sent that waits for an answer; None where none does."""
        self._tried_since = float("-inf")
        """When the present address and port were first used."""
        self._looked_at: float | None = None
        self._is_late = False
        self._rotations = 0
        """Since the last escape."""
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
        """Whether something that has arrived is an answer: what the server sends of its own accord does not show that
        our packets reach it."""
        return unacknowledged < ROTATE_AFTER

    def on_asked(self, *, now: float) -> None:
        """A packet has left that asks for an answer."""
        if self._asked_at is None:
            self._asked_at = now

    def on_answer(self) -> None:
        """The address that is asked has answered."""
        self._asked_at = None
        self._rotations = self.steps = 0
        self._has_escaped = False

    def restart(self) -> None:
        """The silence has another reason that is known, and is over; the next one is counted anew."""
        self.on_answer()

    def next_step(self, *, unacknowledged: float = 0.0, now: float) -> Step:
        """What to do now; to be asked about once a second. The caller does it.

        `unacknowledged`: seconds for which nothing that was sent on the link was acknowledged, 0 where nothing
        waits for that. Packets may still arrive meanwhile.
        """
        if self._has_stood_still(now):
            return Step.STAY
        step = self._due_step(max(self.silence(now=now), unacknowledged), now)
        if step is not Step.STAY:
            self._take(step, now)
        return step

    def on_moved(self, *, now: float) -> None:
        """The link has another socket or another address for another reason than a step."""
        self._tried_since = now

    def _has_stood_still(self, now: float) -> bool:
        """This look is late, and the one before was not: on a machine that is always late, links move all the same."""
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
    """Brings a link that works at another endpoint back to its own one, where that answers again."""

    def __init__(self) -> None:
        self._wait = HOME_AFTER
        self._next_at: float | None = None
        """When the next trial is due; None where the link is at home."""
        self._trial_since: float | None = None

    @property
    def is_under_way(self) -> bool:
        """The link's own endpoint is being tried."""
        return self._trial_since is not None

    def is_due(self, *, now: float) -> bool:
        """A trial should begin, as soon as it can harm nobody."""
        return not self.is_under_way and self._next_at is not None and now >= self._next_at

    def is_over(self, *, now: float) -> bool:
        """The own endpoint has had its time and has not answered."""
        return self._trial_since is not None and now - self._trial_since >= 0.95 * HOME_TRIAL

    def begin(self, *, now: float) -> None:
        """The own endpoint is asked now."""
        self._trial_since = now

    def on_answer(self, *, is_home: bool, now: float) -> None:
        """The address that the link asks has answered; `is_home`: it belongs to the link's own endpoint."""
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
        """The link has lost its place anyway; a trial that was under way proves nothing."""
        self._trial_since = None

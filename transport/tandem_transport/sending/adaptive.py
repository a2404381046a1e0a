"""The scheduler of mode `adaptive`: interactive data on all paths, bulk data spread over them."""

from collections.abc import Sequence

from tandem_transport.parameters import BULK_LOSSES
from tandem_transport.path.path import Path
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.bulk import SpreadData
from tandem_transport.sending.copies import CopyPlanner
from tandem_transport.sending.idle_copies import IdleCopies
from tandem_transport.sending.outbox import Outbox
from tandem_transport.sending.preference import is_copies_only
from tandem_transport.sending.scheduler import Scheduler
from tandem_transport.sending.sources import ControlFrames, Draft, LostChunks, PlannedCopies
from tandem_transport.sending.stalls import StalledChunks
from tandem_transport.streams.turns import SendTurns


class Adaptive(Scheduler):
    """Sends in this order: control frames and lost data, copies that are due, data that stalls elsewhere, new data,
    and in an idle moment copies of the oldest data.
    """

    def __init__(self, outbox: Outbox, turns: SendTurns, *, max_ack_delay: float) -> None:
        """`turns` has the new data of all streams; `max_ack_delay` is the peer's, in seconds."""
        self._copies = CopyPlanner(max_ack_delay=max_ack_delay)
        self._stalls = StalledChunks(max_ack_delay=max_ack_delay)
        self._idle = IdleCopies(turns)
        copies = PlannedCopies(self._copies)
        lost = CopiedLosses(outbox, self._copies)
        new = SpreadData(outbox, turns, self._stalls)
        super().__init__([ControlFrames(outbox), lost, copies, self._stalls, new, self._idle], copies=[copies])

    def on_sent(self, chunks: list[Chunk], path: Path, *, paths: Sequence[Path], now: float) -> None:
        for chunk in chunks:
            if chunk.first_packet is not None:
                continue
            self._idle.on_new(chunk, now=now)
            if chunk.is_interactive:
                begin_here = [path, *(other for other in paths if other is not path)]
                self._copies.plan(chunk, begin_here, now=now)

    def handle_timeout(self, *, paths: Sequence[Path], now: float) -> None:
        if paths:
            self._copies.handle_timeout(paths, now=now)
            self._stalls.handle_timeout(paths, now=now)

    def next_timeout(self, *, paths: Sequence[Path], now: float) -> float | None:
        times = (
            self._copies.next_timeout(paths),
            self._idle.next_timeout(paths, now=now),
            self._stalls.next_timeout(paths),
        )
        return min((time for time in times if time is not None), default=None)


class CopiedLosses(LostChunks):
    """Retransmits lost data; what is interactive, or was lost often, is also copied on a second path."""

    def __init__(self, outbox: Outbox, copies: CopyPlanner) -> None:
        super().__init__(outbox)
        self._copies = copies

    def take(self, path: Path, paths: Sequence[Path], draft: Draft, *, now: float) -> None:
        before = len(draft.chunks)
        super().take(path, paths, draft, now=now)
        if len(draft.chunks) == before:
            return
        other = next((other for other in paths if other is not path), None)
        if other is None:
            return
        is_metered = is_copies_only(other, paths)
        for chunk in draft.chunks[before:]:
            if chunk.is_interactive or (chunk.losses >= BULK_LOSSES and not is_metered):
                self._copies.add_now(chunk, other)

"""Measurements of one round: packets that arrived, packets that were lost, the shortest queue."""

from math import inf


class RoundCounts:
    """The counts of the present round of a path."""

    __slots__ = ("_acked", "_lost", "_runs", "min_queue_delay")

    def __init__(self) -> None:
        self._acked = self._lost = self._runs = 0
        self.min_queue_delay = inf
        """Minimum queue delay of all acknowledgements of this round, in seconds."""

    @property
    def packets(self) -> tuple[int, int]:
        """The numbers of packets that were acknowledged, and that were lost."""
        return self._acked, self._lost

    @property
    def runs(self) -> int:
        """Runs of consecutive lost packets."""
        return self._runs

    def begin(self) -> None:
        """Begins another round."""
        self._acked = self._lost = self._runs = 0
        self.min_queue_delay = inf

    def count(self, acked: int, lost: int, runs: int) -> None:
        """Counts packets that were acknowledged, and packets that were lost in `runs` runs of consecutive ones."""
        self._acked += acked
        self._lost += lost
        self._runs += runs

    def loss(self, minimum: int, otherwise: float) -> float:
        """Share of the packets that were lost; `otherwise` where fewer than `minimum` are counted."""
        packets = self._lost + self._acked
        return self._lost / packets if packets >= minimum else otherwise

    def is_torn(self, run: int) -> bool:
        """Whether the losses are runs of more than `run` packets on average, as in a fade or an outage."""
        return self._lost > run * self._runs

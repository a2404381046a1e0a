"""Groups datagrams for as few system calls as possible. Each packet passes here, so this file is compiled, too."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from tandem_transport.wire.packets import Transmit

_MAX_SEGMENTS: Final = 64
"""Maximum number of datagrams that Linux makes out of one buffer (UDP_SEGMENT)."""

_MAX_RUN_BYTES: Final = 65_000
"""Maximum bytes of one buffer for UDP_SEGMENT: before it is cut, it must fit in one IP packet."""


def batches(transmits: Iterable[Transmit]) -> Iterator[tuple[Transmit, list[bytes]]]:
    """Groups successive datagrams to one path and address: yields the first of each group, and the data of all."""
    first: Transmit | None = None
    batch: list[bytes] = []
    for transmit in transmits:
        if first is None or not _is_same_way(transmit, first):
            if first is not None:
                yield first, batch
            first, batch = transmit, []
        batch.append(transmit.data)
    if first is not None:
        yield first, batch


def _is_same_way(one: Transmit, other: Transmit) -> bool:
    # Mostly it is the same object, which is quicker to see than that two are equal.
    return one.path_id == other.path_id and (one.address is other.address or one.address == other.address)


def equal_runs(batch: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Divides a batch into runs of datagrams of one size, the last of which may be shorter, as UDP_SEGMENT requires."""
    begin = 0
    while begin < len(batch):
        size = len(batch[begin])
        most = min(len(batch), begin + min(_MAX_SEGMENTS, _MAX_RUN_BYTES // size))
        end = begin + 1
        while end < most and len(batch[end - 1]) == size and len(batch[end]) <= size:
            end += 1
        yield batch[begin:end]
        begin = end

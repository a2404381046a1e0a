"""A QR code as the path of an SVG, for a page that draws it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple


class QrPath(NamedTuple):
    """A QR code: squares of one unit, dark ones filled, on a light ground."""

    size: int
    """Width and height in units, quiet zone included."""
    path: str
    """The `d` attribute of an SVG path."""


_QUIET_ZONE = 4
"""Units of light ground around the code that cameras need (ISO/IEC 18004)."""


def qr_path(text: str) -> QrPath | None:
    """The QR code of a text, None where the text is too long for one."""
    import segno  # only a server that shows a code needs it

    try:
        rows = list(segno.make(text, error="l").matrix_iter(border=_QUIET_ZONE))
    except segno.encoder.DataOverflowError:
        return None
    return QrPath(len(rows), "".join(f"M{x} {y}h{width}v1h-{width}z" for x, y, width in _dark_runs(rows)))


def _dark_runs(rows: Sequence[Iterable[int]]) -> Iterator[tuple[int, int, int]]:
    """Where dark units stand side by side: column and row of the first one, and their number."""
    for y, row in enumerate(rows):
        x = 0
        for is_dark, units in groupby(row):
            width = len(list(units))
            if is_dark:
                yield x, y, width
            x += width

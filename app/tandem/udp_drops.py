"""Datagrams that the kernel has dropped, for this process did not read them in time (Linux)."""

from collections.abc import Collection
from pathlib import Path

_TABLES = (Path("/proc/net/udp"), Path("/proc/net/udp6"))


def udp_drops(inodes: Collection[int], tables: Collection[Path] = _TABLES) -> int | None:
    """Of the sockets with these inodes, since each was opened; None where the kernel does not tell."""
    total, wanted = 0, {str(inode) for inode in inodes}
    for table in tables:
        try:
            rows = [line.split() for line in table.read_text().splitlines()[1:]]
        except OSError:
            return None
        total += sum(int(row[12]) for row in rows if len(row) > 12 and row[9] in wanted)
    return total

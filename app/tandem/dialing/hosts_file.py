"""The names in this machine's /etc/hosts, which system lookups of absolute names (with a final dot) ignore."""

import ipaddress
import os
from pathlib import Path

_PATH = Path("/etc/hosts")


class HostsFile:
    """Reads the file again after each change; a file that cannot be read has no names."""

    def __init__(self, path: Path = _PATH) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._names: dict[str, tuple[str, ...]] = {}

    def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses of a name in lower case, in the order of the file; empty where the file does not list it."""
        try:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._names, self._stamp = _parse(self._path.read_text(errors="replace")), stamp
        except OSError:
            self._names, self._stamp = {}, None
        return self._names.get(name, ())


def _parse(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            literal = str(ipaddress.ip_address(address))
        except ValueError:
            continue
        for name in names:
            found.setdefault(name.lower().removesuffix("."), {})[literal] = None
    return {name: tuple(addresses) for name, addresses in found.items()}

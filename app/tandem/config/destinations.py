"""What a route is about: a pattern, the set `private`, or a file of patterns.

*.example.org          a name, all ports; the patterns of rules (patterns.py) have the same meaning
*:25                   a port of any host
private                this network: RFC 1918, link-local, ULA and loopback addresses, *.local, names without a dot
@FILE                  a pattern in each line; text after # is a comment

A name is matched as it is asked for. It is not looked up, so a network matches addresses only.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tandem.base.addresses import IPNetwork, address_forms, literal_address
from tandem.base.private_files import read_text
from tandem.config.patterns import ALL_PORTS, Pattern, parse_pattern

PRIVATE = "private"
MAX_LINES = 500_000
"""Lines of a file of patterns."""

ACCEPTED = "HOST, HOST:PORT, *.DOMAIN, *:PORT, NETWORK/BITS, private, or @FILE"

_PRIVATE_NETWORKS: tuple[IPNetwork, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "fe80::/10",
        "fc00::/7",
        "::1/128",
    )
)
_PRIVATE_SUFFIXES = (".local", ".localhost", ".home.arpa")


class Destinations(Protocol):
    """A set of hosts and ports."""

    @property
    def text(self) -> str:
        """The set as it is written in the configuration."""
        ...

    def contains(self, host: str, port: int) -> bool:
        """Whether a host in its canonical form (`canonical_name`) and a port are in the set."""
        ...


@dataclass(frozen=True, slots=True)
class One:
    """What one pattern matches."""

    pattern: Pattern

    @property
    def text(self) -> str:
        return self.pattern.text

    def contains(self, host: str, port: int) -> bool:
        if self.pattern.network is None:
            return self.pattern.matches_name(host, port)
        return bool(literal_address(host)) and self.pattern.matches_address(host, port)


class Private:
    """Hosts of this network, by the look of their name or address."""

    @property
    def text(self) -> str:
        return PRIVATE

    def contains(self, host: str, port: int) -> bool:
        if not literal_address(host):
            return "." not in host or host.endswith(_PRIVATE_SUFFIXES)
        forms = list(address_forms(host))
        return any(form.version == net.version and form in net for form in forms for net in _PRIVATE_NETWORKS)


class PatternFile:
    """The patterns in a file. `read_if_changed` reads it again."""

    def __init__(self, path: Path) -> None:
        """Reads the file. Raises OSError, and ValueError that names the line."""
        self._path = path
        self._mark: tuple[int, ...] = ()
        self._index = _Index(())
        self.read_if_changed()

    @property
    def text(self) -> str:
        return f"@{self._path}"

    @property
    def patterns(self) -> Iterator[Pattern]:
        """All patterns, in no order: a set has none."""
        return self._index.all()

    def contains(self, host: str, port: int) -> bool:
        return self._index.contains(host, port)

    def read_if_changed(self) -> bool:
        """Reads the file where it has changed; tells whether it had. Raises like the constructor; then nothing changes.

        It blocks, for a second and more with a large file.
        """
        status = self._path.stat()
        mark = (status.st_mtime_ns, status.st_size, status.st_ino)
        if mark == self._mark:
            return False
        self._mark = mark  # also of a file with a mistake: it is not read again and again
        self._index = _Index(self._read())
        return True

    def _read(self) -> list[Pattern]:
        lines, found = read_text(self._path).splitlines(), list[Pattern]()
        if len(lines) > MAX_LINES:
            raise ValueError(f"{self._path}: more than {MAX_LINES} lines")
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            try:
                if text:
                    found.append(parse_destination(text))
            except ValueError as error:
                raise ValueError(f"{self._path}, line {number}: {error}") from error
        return found


def parse_destinations(text: str) -> Destinations:
    """A set, as a route names it. Raises ValueError that says what is accepted, and OSError for a file."""
    if text == PRIVATE:
        return Private()
    if text.startswith(f"{PRIVATE}:"):
        raise ValueError(f"{text!r}: {PRIVATE} takes no port: it stands for a set of hosts, on all ports")
    if text.startswith("@"):
        return PatternFile(Path(text[1:]).expanduser())
    return One(parse_destination(text))


def parse_destination(text: str) -> Pattern:
    """One pattern; a host without a port stands for all its ports. Raises ValueError."""
    try:
        pattern = parse_pattern(text)
    except ValueError as error:
        raise ValueError(f"{text!r}: {ACCEPTED} is accepted") from error
    return replace(pattern, host=pattern.forward, forward="", ports=ALL_PORTS) if pattern.forward else pattern


class _Index:
    """Patterns by what they are about, so that a list of a hundred thousand costs no more than a few look-ups."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._by_name: dict[str, list[Pattern]] = {}
        """Those of one name (`example.org`), and those of all names below one (`.example.org`)."""
        self._by_network: dict[tuple[int, int], dict[int, list[Pattern]]] = {}
        """Those of networks: by version and host bits, then by the network's number without these bits."""
        self._others: list[Pattern] = []
        for pattern in patterns:
            name = pattern.host.removeprefix("*") if pattern.host.startswith("*.") else pattern.host
            if pattern.network is not None:
                bits = pattern.network.max_prefixlen - pattern.network.prefixlen
                numbers = self._by_network.setdefault((pattern.network.version, bits), {})
                numbers.setdefault(int(pattern.network.network_address) >> bits, []).append(pattern)
            elif "*" not in name:
                self._by_name.setdefault(name, []).append(pattern)
            else:
                self._others.append(pattern)

    def all(self) -> Iterator[Pattern]:
        for named in self._by_name.values():
            yield from named
        for numbers in self._by_network.values():
            for numbered in numbers.values():
                yield from numbered
        yield from self._others

    def contains(self, host: str, port: int) -> bool:
        found = self._of_address(host) if literal_address(host) else self._of_name(host)
        return any(port in pattern.ports for pattern in found) or any(
            pattern.matches_name(host, port) for pattern in self._others
        )

    def _of_name(self, host: str) -> Iterator[Pattern]:
        for name in _names(host):
            yield from self._by_name.get(name, ())

    def _of_address(self, host: str) -> Iterator[Pattern]:
        yield from self._by_name.get(host, ())
        for form in address_forms(host):
            for (version, bits), numbers in self._by_network.items():
                if version == form.version:
                    yield from numbers.get(int(form) >> bits, ())


def _names(host: str) -> Iterator[str]:
    """The host itself, and what its patterns `*.DOMAIN` are indexed under."""
    yield host
    at = host.find(".")
    while at >= 0:
        yield host[at:]
        at = host.find(".", at + 1)

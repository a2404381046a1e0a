"""Patterns of destinations, for rules and forwards.

web                   the name of a forward
host:443              a name, or an address
*.example.org:443     `*` stands for any text
host:8000-8999        a range of ports, `*` for all of them
[2001:db8::1]:22      an IPv6 address with a port
10.0.0.0/8            a network, all ports
10.0.0.0/8:22         a network, one port; for IPv6 [fd00::/8]:22
"""

import ipaddress
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tandem.base.addresses import IPNetwork, address_forms, literal_address

ALL_PORTS = range(65536)

_DOTS = re.compile("[\u3002\uff0e\uff61]")
"""The characters that are dots in other scripts (RFC 3490 section 3.1)."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LONGEST_NAME = 253

_NAME = re.compile(r"[A-Za-z0-9_*]([A-Za-z0-9_*.-]*[A-Za-z0-9_*])?")
ACCEPTED = "NAME, HOST:PORT, *.DOMAIN:PORT, [IPV6]:PORT or NETWORK/BITS; PORT is a number, FROM-TO or *"


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a rule or a forward is about: the name of a forward, a network, or a host by name."""

    text: str
    forward: str = ""
    host: str = ""
    """The name of a host, which may have `*` in it."""
    network: IPNetwork | None = None
    ports: range = ALL_PORTS

    def matches_forward(self, name: str) -> bool:
        """Whether the pattern is about the forward of this name."""
        return bool(self.forward) and fnmatchcase(name, self.forward)

    def matches_name(self, host: str, port: int) -> bool:
        """Whether the pattern is about this host in its canonical form, whatever the host resolves to."""
        return bool(self.host) and port in self.ports and fnmatchcase(host, self.host)

    def matches_address(self, address: str, port: int) -> bool:
        """Whether an address and a port match: the pattern is a network that contains them."""
        if self.network is None or port not in self.ports:
            return False
        return any(form.version == self.network.version and form in self.network for form in address_forms(address))


def canonical_name(host: str) -> str:
    """A host as rules see it and as it is looked up: an address, or a name in ASCII (RFC 1123, RFC 3490).

    Each name has one form, and only names and addresses are accepted: an escape that a resolver would
    decode later, such as a backslash, must not get past a rule. Raises ValueError.
    """
    if "%" in host:
        raise ValueError(f"{host!r}: an interface of this server cannot be chosen")
    is_bracketed = host.startswith("[") and host.endswith("]")
    literal = literal_address(host[1:-1] if is_bracketed else host)
    if literal:
        return literal
    name = _DOTS.sub(".", host)
    try:
        name = name.lower() if name.isascii() else name.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise ValueError(f"{host!r} is not a host name") from error
    name = name.removesuffix(".")
    if len(name) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"{host!r} is not a host name")
    return name


def parse_pattern(text: str) -> Pattern:
    """Parses a pattern. Raises ValueError that says what is accepted."""
    stripped = text.strip()
    if (network := _network(stripped)) is not None:
        return Pattern(text, network=network)
    host, colon, ports = stripped.rpartition(":")
    if not colon:
        return Pattern(text, forward=_checked_name(stripped, text))
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare and bare == host:
        raise ValueError(f"{text!r}: put brackets around an IPv6 address, [{host}]:{ports}")
    if (network := _network(bare)) is not None:
        return Pattern(text, network=network, ports=_ports(ports, text))
    return Pattern(text, host=_checked_name(bare, text), ports=_ports(ports, text))


def looks_like_a_host(text: str) -> bool:
    """Whether a pattern is the name of a forward, but was probably meant as a host."""
    return bool(parse_pattern(text).forward) and "." in text


def _network(text: str) -> IPNetwork | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(f"{error}; accepted is {ipaddress.ip_network(text, strict=False)}") from error
        return None


def _ports(text: str, pattern: str) -> range:
    if text == "*":
        return ALL_PORTS
    first, _, last = text.partition("-")
    last = last or first
    if first.isdigit() and last.isdigit() and 0 < int(first) <= int(last) < 65536:
        return range(int(first), int(last) + 1)
    raise ValueError(f"{pattern!r}: {text!r} is not a port; accepted is {ACCEPTED}")


def _checked_name(name: str, pattern: str) -> str:
    try:
        canonical = ".".join(label if "*" in label else canonical_name(label) for label in name.split("."))
    except ValueError:
        canonical = ""
    if not _NAME.fullmatch(canonical):
        raise ValueError(f"{pattern!r} is not a destination; accepted is {ACCEPTED}")
    return canonical.lower()

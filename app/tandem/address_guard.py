"""Which addresses a server does not reach for its clients: those of its own neighbourhood."""

import ipaddress
from collections.abc import Iterable

from tandem.addresses import IPNetwork, parse_address

_DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "64:ff9b::/96",  # NAT64: it would lead to any of the above
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
)


class AddressGuard:
    """The deny list, and what its owner takes off it."""

    def __init__(self, allow: Iterable[IPNetwork] = ()) -> None:
        """`allow` takes networks off the deny list; it is never a list of all that is allowed."""
        self._allow = tuple(allow)

    def is_allowed(self, host: str) -> bool:
        """Whether clients may reach an address without a rule that names it."""
        address = parse_address(host)
        if any(address in network for network in self._allow if network.version == address.version):
            return True
        return not any(address in network for network in _DENIED if network.version == address.version)

"""The addresses that a server does not dial for its clients: its own, and those of its local networks."""

import ipaddress
from collections.abc import Container, Iterable

from tandem.base.addresses import IPAddress, IPNetwork, address_forms

_DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "168.63.129.16/32",  # the host services of a cloud (Azure)
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # unspecified, loopback, and IPv4-compatible addresses (RFC 4291 section 2.5.5.1, deprecated)
        "::ffff:0:0:0/96",  # IPv4 translators (RFC 7915): these reach all of the IPv4 networks above
        "64:ff9b::/96",  # NAT64, likewise
        "64:ff9b:1::/48",
        "2001::/32",  # Teredo, likewise
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)


class AddressGuard:
    """The deny list, this machine's own networks, and the exceptions that its owner allows."""

    def __init__(self, allow: Iterable[IPNetwork] = (), own: Container[IPAddress] = ()) -> None:
        """`allow` exempts networks from the deny list; public addresses stay allowed.

        `own`: the machine's addresses and networks. They are denied, because a firewall that blocks
        strangers may trust what comes from this machine.
        """
        self._allow = tuple(allow)
        self._own = own

    def is_allowed(self, host: str) -> bool:
        """Whether clients may reach this literal address without a rule that names it."""
        return all(self._is_allowed(form) for form in address_forms(host))

    def _is_allowed(self, address: IPAddress) -> bool:
        if any(address in network for network in self._allow if network.version == address.version):
            return True
        if address in self._own:
            return False
        return not any(address in network for network in _DENIED if network.version == address.version)


def is_within_denied(network: IPNetwork) -> bool:
    """Whether all of a network is on the deny list."""
    if isinstance(network, ipaddress.IPv4Network):
        return any(network.subnet_of(other) for other in _DENIED if isinstance(other, ipaddress.IPv4Network))
    return any(network.subnet_of(other) for other in _DENIED if isinstance(other, ipaddress.IPv6Network))

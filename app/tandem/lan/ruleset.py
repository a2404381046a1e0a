"""The nftables ruleset that sends a house's traffic to the ports of `[transparent]`."""

from collections.abc import Sequence
from dataclasses import dataclass

TABLE = "tandem"
MARK = 0x7A6E
ROUTES = 31342
"""Number of the routing table by which marked packets reach this machine."""

PRIVATE_V4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
PRIVATE_V6 = ("::1/128", "fc00::/7", "fe80::/10", "ff00::/8")


@dataclass(frozen=True, slots=True)
class House:
    """What the ruleset has to know."""

    interfaces: Sequence[str]
    """Where the devices are."""
    port: int
    names_port: int | None
    """Where name queries go, None where they are left alone."""
    takes_datagrams: bool
    """Whether everything goes by `tproxy`; else TCP goes by `redirect`, and UDP does not pass."""
    fakes: Sequence[str] = ()
    """Networks of fake addresses, which are caught although they are private."""


def ip_commands() -> tuple[str, ...]:
    """The commands by which packets that `tproxy` has marked reach this machine; they are gone after a restart."""
    return tuple(
        command
        for family in ("-4", "-6")
        for command in (
            f"ip {family} rule add fwmark {MARK:#x} lookup {ROUTES}",
            f"ip {family} route add local default dev lo table {ROUTES}",
        )
    )


def ruleset(house: House) -> str:
    """The file for `nft -f`."""
    names = ", ".join(f'"{name}"' for name in house.interfaces)
    parts = [
        "#!/usr/sbin/nft -f",
        f"# Sends what the devices behind {', '.join(house.interfaces)} send out to Tandem. Load it with: nft -f FILE",
        *(f"# before: {command}" for command in (ip_commands() if house.takes_datagrams else ())),
        f"table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        _set("private4", "ipv4_addr", PRIVATE_V4),
        _set("private6", "ipv6_addr", PRIVATE_V6),
        _names_chain(house, names),
        _tproxy_chain(house, names) if house.takes_datagrams else _redirect_chain(house, names),
        _forward_chain(house, names),
        "}",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _set(name: str, kind: str, elements: Sequence[str]) -> str:
    lines = (f"type {kind}", "flags interval", f"elements = {{ {', '.join(elements)} }}")
    return "\n".join([f"    set {name} {{", *(f"        {line}" for line in lines), "    }"])


def _chain(name: str, hook: str, rules: Sequence[str]) -> str:
    lines = "\n".join(f"        {rule}" for rule in rules)
    return f"    chain {name} {{\n        {hook}\n{lines}\n    }}"


def _names_chain(house: House, names: str) -> str:
    """Queries go to Tandem whatever name server a device has been told of, this router included."""
    if house.names_port is None:
        return ""
    rules = [
        f"iifname != {{ {names} }} return",
        f"meta l4proto {{ tcp, udp }} th dport 53 redirect to :{house.names_port}",
    ]
    return _chain("names", "type nat hook prerouting priority dstnat; policy accept;", rules)


def _left_alone(house: House) -> list[str]:
    """Rules for what is not caught: this router itself, and private networks but for fake addresses."""
    v4, v6 = ([fake for fake in house.fakes if (":" in fake) == is_v6] for is_v6 in (False, True))
    but_v4 = f" ip daddr != {{ {', '.join(v4)} }}" if v4 else ""
    but_v6 = f" ip6 daddr != {{ {', '.join(v6)} }}" if v6 else ""
    return [
        "fib daddr type { local, broadcast, multicast } return",
        f"ip daddr @private4{but_v4} return",
        f"ip6 daddr @private6{but_v6} return",
    ]


def _redirect_chain(house: House, names: str) -> str:
    rules = [f"iifname != {{ {names} }} return", *_left_alone(house), f"meta l4proto tcp redirect to :{house.port}"]
    return _chain("caught", "type nat hook prerouting priority dstnat + 1; policy accept;", rules)


def _tproxy_chain(house: House, names: str) -> str:
    not_names = ["meta l4proto { tcp, udp } th dport 53 return"] if house.names_port is not None else []
    rules = [
        f"iifname != {{ {names} }} return",
        *not_names,
        *_left_alone(house),
        f"meta nfproto ipv4 meta l4proto {{ tcp, udp }} meta mark set {MARK:#x} tproxy ip to :{house.port} accept",
        f"meta nfproto ipv6 meta l4proto {{ tcp, udp }} meta mark set {MARK:#x} tproxy ip6 to :{house.port} accept",
    ]
    return _chain("caught", "type filter hook prerouting priority mangle; policy accept;", rules)


def _forward_chain(house: House, names: str) -> str:
    """Nothing of the devices gets past Tandem into the internet: no datagrams where they are not caught, no ICMP."""
    rules = [
        f"iifname != {{ {names} }} return",
        "ip daddr @private4 return",
        "ip6 daddr @private6 return",
        "counter reject with icmpx admin-prohibited",
    ]
    return _chain("past", "type filter hook forward priority filter; policy accept;", rules)

"""`tandem lan`: a router whose devices know nothing of a proxy."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem.cli import options

if TYPE_CHECKING:
    from tandem.lan.ruleset import House

LAN = click.option(
    "--lan",
    multiple=True,
    required=True,
    metavar="INTERFACE",
    help="Where the devices are, such as br-lan; repeatable.",
)
TCP_ONLY = click.option("--tcp-only", is_flag=True, help="By `redirect`, which needs no capability; UDP does not pass.")


@click.group()
def lan() -> None:
    """Serve every device behind this router: print the firewall's rules, find what is missing.

    \b
    tandem lan nft --lan br-lan > /etc/nftables.d/tandem.nft
    tandem lan check --lan br-lan
    """


@lan.command()
@LAN
@TCP_ONLY
@options.CONFIG
def nft(lan: tuple[str, ...], tcp_only: bool, config_file: Path | None) -> None:
    """Print the nftables ruleset for the ports of [transparent] in the configuration.

    What the router itself sends, and private networks, are left out. The comments at its head are commands that it
    needs besides, once after each start of the machine.

    \b
    tandem lan nft --lan br-lan --lan wlan1 | nft -f -
    """
    from tandem.lan.ruleset import ruleset

    click.echo(ruleset(_house(lan, config_file, takes_datagrams=not tcp_only)), nl=False)


@lan.command()
@LAN
@TCP_ONLY
@options.CONFIG
def check(lan: tuple[str, ...], tcp_only: bool, config_file: Path | None) -> None:
    """Find what is missing on this router; the exit code is 1 where anything is.

    \b
    tandem lan check --lan br-lan
    """
    from tandem.base.errors import TandemError
    from tandem.lan.check import missing

    if sys.platform != "linux":
        raise TandemError("`tandem lan check` needs Linux", "run it on the router")
    found = missing(_house(lan, config_file, takes_datagrams=not tcp_only))
    for item in found:
        click.echo(f"missing: {item.what}\n         {item.advice}")
    if not found:
        click.echo("nothing is missing: traffic of the devices goes to the client")
    sys.exit(1 if found else 0)


def _house(interfaces: tuple[str, ...], config_file: Path | None, *, takes_datagrams: bool) -> "House":
    """What the configuration says of the ports. Raises UsageError where it has none."""
    from tandem.base.addresses import parse_host_port
    from tandem.base.errors import UsageError
    from tandem.config import config
    from tandem.lan.ruleset import House

    section = config.load(config_file).transparent
    if not section.listen:
        raise UsageError("[transparent] has no `listen`", 'listen = ["0.0.0.0:1081", "[::]:1081"] in the configuration')
    _, port = parse_host_port(section.listen[0], what="listen")
    names = parse_host_port(section.dns_listen[0], what="dns_listen")[1] if section.dns != "off" else None
    fakes = section.fake if section.dns == "fake" else []
    return House(interfaces, port, names, takes_datagrams, fakes)


COMMANDS = (lan,)

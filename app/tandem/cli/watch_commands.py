"""Commands that show or change a running client or server."""

import contextlib
import os
import sys
from collections.abc import Generator

import click

from tandem.base.errors import TandemError
from tandem.cli import completing, options

_SPEEDTEST_TIMEOUT = 600.0
"""Seconds to wait for the result of a speedtest; with many links it takes a while."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The whole status, for programs.")
@click.option("--watch", is_flag=True, help="Live, until q or Ctrl-C.")
@options.ADMIN
def status(as_json: bool, watch: bool, admin: str | None) -> None:
    """Show the status of a running client or server; exit code 1 where it is not healthy.

    With --watch, the console of a client takes keys: l shows a link in full, s sorts, and m changes the
    client's mode. Where standard output is not a terminal, --watch prints the status each second.

    \b
    tandem status
    tandem status --json | jq '.links[] | {name, state, loss_down}'
    tandem status --watch --admin 127.0.0.1:8118    a server's
    """
    from tandem.console.status_command import show_status

    sys.exit(show_status(admin, as_json=as_json, watch=watch))


@click.command("open")
@options.ADMIN
@click.option("--print", "is_printed", is_flag=True, help="Print the link, for a browser elsewhere; do not open it.")
def open_page(admin: str | None, is_printed: bool) -> None:
    """Open the page of a running client or server in the browser: links, charts, connections, buttons.

    The link logs in one browser, once, within two minutes. The page of a router is for its whole network if
    `listen` and `token` in the [admin] section say so; only those who log in see destinations and may change anything.

    \b
    tandem open
    tandem open --admin 127.0.0.1:8118             a server's, where a client runs too
    tandem open --print --admin 192.168.1.1:8119   on a router, for a browser in its network
    """
    import webbrowser

    from tandem.admin import admin_client
    from tandem.base.addresses import format_host_port

    place, answer = admin_client.ask_first(admin_client.places(admin), "/ticket", {})
    ticket = answer.get("ticket")
    if not isinstance(ticket, str):
        raise TandemError(f"{format_host_port(*place)} has no page", "a Tandem before 0.2 has none")
    link = f"http://{format_host_port(*place)}/#{ticket}"
    click.echo(link)
    if is_printed or _is_root() or not webbrowser.open(link):
        click.echo("for a browser: it logs in once, within two minutes", err=True)


def _is_root() -> bool:
    """Whether a browser should not be started by this user."""
    if sys.platform == "win32":
        return False
    return os.geteuid() == 0


@click.command()
@click.argument("wanted", metavar="[duplicate|adaptive]", type=click.Choice(["duplicate", "adaptive"]), required=False)
@options.ADMIN
def mode(wanted: str | None, admin: str | None) -> None:
    """Change at once how a running client uses its links, in both directions; connections stay open.

    Without an argument it says which mode is on.

    \b
    duplicate  all data on every link: the lowest loss, and twice the data on two links
    adaptive   interactive data on every link, downloads spread over all of them
    """
    from tandem.admin import admin_client

    places = admin_client.places(admin)[:1]
    if wanted is None:
        present = admin_client.ask(places, "/status").get("mode")
        if present is None:
            raise TandemError("a server has no mode of its own", "each of its clients has one: ask there")
        click.echo(f"mode {present}")
        return
    admin_client.ask(places, "/mode", {"mode": wanted})
    click.echo(f"mode {wanted}")


@click.command()
@click.argument("link", shell_complete=completing.links)
@click.argument("what", nargs=-1, required=True, shell_complete=completing.drills)
@options.ADMIN
def drill(link: str, what: tuple[str, ...], admin: str | None) -> None:
    """Impair a link of a running client for a while, to see that nothing breaks.

    \b
    tandem drill wifi loss=20% delay=80ms for=60s    in each direction; also jitter=10ms rate=5Mbit/s
    tandem drill wifi down                           for a minute, unless for= says otherwise
    tandem drill wifi off                            ends it
    """
    from tandem.admin import admin_client
    from tandem.client.drill import parse_drill

    wanted = parse_drill(link, what)
    admin_client.ask(admin_client.places(admin)[:1], "/drill", wanted.model_dump())
    click.echo(f"{link}: {wanted} for {wanted.duration:.0f} s" if wanted.is_on else f"{link}: the drill is over")


@click.command()
@options.ADMIN
@click.option(
    "--socks", metavar="HOST:PORT", help="SOCKS port of a client that does not run; default: of the one that does."
)
@click.option("--client", metavar="NAME", help="Only of the client whose invite has this name.")
@click.option("--last", default=50, show_default=True, type=click.IntRange(min=1), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
def events(admin: str | None, socks: str | None, client: str | None, last: int, as_json: bool) -> None:
    """Show what happened to this machine's client: links that came and went, and why. The client need not run.

    Clients of one user with the same SOCKS port share a log; then each line names its client.
    """
    from collections import deque

    from tandem.base.addresses import parse_host_port
    from tandem.client.events import read
    from tandem.client.files import events_file

    _, port = parse_host_port(socks or _running_socks(admin) or "127.0.0.1:1080", what="--socks")
    path = events_file(port)
    try:
        kept = list(read(path))
    except OSError as error:
        raise TandemError(f"{path}: {error.strerror}", "the client may run as another user") from error
    names = {event.client for event in kept if event.client}
    found = deque((event for event in kept if client in (None, event.client)), maxlen=last)
    if not found:
        raise TandemError(f"no events {f'of {client} ' if client else ''}in {path}", _events_hint(names))
    for event in found:
        told = event.told(names_client=len(names) > 1)
        click.echo(event.model_dump_json(exclude_none=True) if as_json else told)


def _running_socks(admin: str | None) -> str:
    """The SOCKS port of the running client; "" where none runs. Raises TandemError where `admin` does not answer."""
    from tandem.admin import admin_client

    try:
        return str(admin_client.ask(admin_client.places(admin)[:1], "/status").get("socks", ""))
    except TandemError:
        if admin:
            raise
        return ""


def _events_hint(names: set[str]) -> str:
    known = f"; there are some of {', '.join(sorted(names))}" if names else ""
    return f"--admin HOST:PORT names a client that runs, --socks one by its SOCKS port; `tandem demo` keeps none{known}"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@options.ADMIN
def speedtest(as_json: bool, admin: str | None) -> None:
    """Measure a running client's session: each link alone, then all together, both directions.

    This takes ten seconds for each link, and ten more, and slows down other connections. It transfers as much as the
    links carry in that time, also over metered and backup links. The data counts for their caps; `max_rate` applies.

    \b
    tandem speedtest
    """
    import json

    from tandem.admin import admin_client

    places = admin_client.places(admin)[:1]
    with _progress(len(admin_client.ask(places, "/status").get("links", []))):
        found = admin_client.ask(places, "/speedtest", {}, timeout=_SPEEDTEST_TIMEOUT)["speeds"]
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{'':20} {'down Mbit/s':>12} {'up Mbit/s':>12}")
    for speed in found:
        down, up = (f"{bps / 1e6:.1f}" if bps is not None else "-" for bps in (speed["down_bps"], speed["up_bps"]))
        click.echo(f"{speed['link']:20} {down:>12} {up:>12}  {speed['note']}".rstrip())


@contextlib.contextmanager
def _progress(links: int) -> Generator[None]:
    """Says on standard error how long the speedtest takes, and on a terminal shows that it is running."""
    from rich.console import Console

    text = f"measuring {links} links, each alone, then together: about {10 * (links + 1)} s"
    console = Console(stderr=True)
    if not console.is_terminal:
        click.echo(text, err=True)
        yield
        return
    with console.status(text):
        yield


COMMANDS = (status, open_page, mode, drill, events, speedtest)

"""The command line. Each command imports the modules it needs, because `tandem connect` must start fast."""

import errno
import gc
import io
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from tandem.base.errors import TandemError, UsageError
from tandem.cli import options
from tandem.cli.sections import SectionedGroup

if TYPE_CHECKING:
    from tandem.client.client import Client

_START_UP_OBJECTS = 100_000
"""New objects before the garbage collector looks: modules that are loaded make many, none of them garbage."""

LogFormat = Literal["text", "json"]


def _show_version(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if not is_asked or context.resilient_parsing:
        return
    import platform

    from tandem import __version__
    from tandem_transport.wire import packets

    kind = "interpreted" if packets.__file__.endswith(".py") else "compiled"
    click.echo(f"tandem {__version__}, protocol core {kind}, Python {platform.python_version()}")
    context.exit()


@click.group(cls=SectionedGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version, and whether the protocol core is compiled.",
)
def cli() -> None:
    """Two bad internet connections that behave like one good one.

    On the server, `tandem server`, and `tandem invite laptop --endpoint SERVER:8120 --endpoint SERVER:8121`.
    On the laptop, `tandem client` with that invite, and a browser or ssh with the SOCKS port 127.0.0.1:1080.
    `tandem demo` shows it all on one machine.
    """


@cli.command()
@options.CONFIG
@options.STATE
@click.option("--listen", multiple=True, metavar="HOST:PORT", help="UDP address; default: ports 8120 and 8121 on all.")
@click.option("--allow", multiple=True, metavar="CIDR", help="Private network that clients may reach all the same.")
@click.option("--forward", multiple=True, metavar="MATCH=TARGET", help="Such as web=127.0.0.1:80.")
@click.option("--workers", metavar="N|auto", help="Processes that serve; auto: one for each core. Default 1.")
@options.ADMIN
@options.LOG_LEVEL
@options.LOG_FORMAT
@options.LOG_FILE
def server(
    config_file: Path | None,
    state: Path | None,
    listen: tuple[str, ...],
    allow: tuple[str, ...],
    forward: tuple[str, ...],
    workers: str | None,
    admin: str | None,
    log_level: str,
    log_format: LogFormat,
    log_file: Path | None,
) -> None:
    """Serve clients: dial the destinations that they request.

    \b
    tandem server --state /var/lib/tandem --allow 192.168.1.0/24 --forward web=127.0.0.1:80
    """
    from tandem.base import logs
    from tandem.client.options import split
    from tandem.config import config, old_names
    from tandem.process import running
    from tandem.workers.service import server_process

    section: dict[str, Any] = {"state": state, "listen": list(listen), "allow": list(allow), "workers": workers}
    options: dict[str, Any] = {"server": {key: value for key, value in section.items() if value}}
    options |= (
        {"forward": [split(item, "--forward MATCH=TARGET", ("match", "target")) for item in forward]} if forward else {}
    )
    options |= {"admin": {"listen": admin}} if admin else {}
    loaded = config.load(config_file, options)
    logs.set_up(log_level, log_format, log_file, targets=loaded.log_targets)
    old_names.log_notes()
    process = server_process(loaded, lambda: config.load(config_file, options))
    running.run(running.serve(process.service, reload=process.reload, upgrade=process.upgrade))


@cli.command("client")
@options.INVITE
@options.CONFIG
@click.option("--link", multiple=True, metavar="NAME=BIND[@HOST:PORT]", help="Such as wifi=wlan0 or dsl=192.168.1.5.")
@click.option("--socks", metavar="HOST:PORT", help="SOCKS port; default 127.0.0.1:1080.")
@click.option("--listen", multiple=True, metavar="[HOST:]PORT=FORWARD", help="Local port of a forward of the server.")
@click.option("--publish", multiple=True, metavar="NAME=HOST:PORT", help="What a [[publish]] of the server leads to.")
@click.option("--mode", metavar="duplicate|adaptive", help="How the links are used.")
@click.option("--no-console", is_flag=True, help="Logs only.")
@options.ADMIN
@options.LOG_LEVEL
@options.LOG_FORMAT
@options.LOG_FILE
def client_command(
    invite_source: str | None,
    config_file: Path | None,
    link: tuple[str, ...],
    socks: str | None,
    listen: tuple[str, ...],
    publish: tuple[str, ...],
    mode: str | None,
    no_console: bool,
    admin: str | None,
    log_level: str,
    log_format: LogFormat,
    log_file: Path | None,
) -> None:
    """Connect to the server over all links, and offer a SOCKS port.

    The invite comes from standard input (-), a file that only you can read (@FILE), the environment
    (TANDEM_INVITE) or the configuration. Several invites, one per line, are several servers; the first one
    is preferred. Without --link, each interface with a default route is a link.

    \b
    tandem client @invite --link wifi=wlan0 --link mobile=usb0
    tandem client @invite --listen 8128=web
    tandem client @invite --publish camera=192.168.1.7:443
    """
    from tandem.base import logs
    from tandem.base.addresses import parse_host_port
    from tandem.base.directories import default_directory
    from tandem.client.ciphers import fastest_cipher_suite
    from tandem.client.client import Client
    from tandem.client.events import EventLog
    from tandem.client.files import events_file, instance_id
    from tandem.client.options import load, read_invites
    from tandem.client.records import ClientRecords
    from tandem.client.usage import UsageBook
    from tandem.config import old_names
    from tandem.process import running
    from tandem_transport import TransportParameters

    loaded = load(config_file, link=link, socks=socks, listen=listen, publish=publish, mode=mode, admin=admin)
    logs.set_up(log_level, log_format, log_file, targets=loaded.log_targets)
    old_names.log_notes()
    own = read_invites(invite_source, loaded)
    parameters = TransportParameters(cipher_suite=fastest_cipher_suite())
    _, socks_port = parse_host_port(loaded.socks.listen, what="socks")
    records = ClientRecords(
        instance_id=instance_id(default_directory(), f"client-{socks_port}"),
        usage=UsageBook(default_directory() / "usage" / f"client-{socks_port}.json"),
        events=EventLog(events_file(socks_port)),
    )
    service = Client(loaded, own, parameters, records)
    running.run(running.serve(service, None if no_console else _console(service)))


@cli.command()
@click.argument("host")
@click.argument("port", type=click.IntRange(1, 65535))
@click.option("--proxy", default="127.0.0.1:1080", show_default=True, metavar="HOST:PORT", help="SOCKS port to use.")
@click.option("--user", metavar="NAME", help="Where the port wants a password ([[socks.user]]).")
@click.option(
    "--password-file", type=click.Path(path_type=Path), help="File with the user's password in its first line."
)
def connect(host: str, port: int, proxy: str, user: str | None, password_file: Path | None) -> None:
    """Connect standard input and output to HOST:PORT through the client's SOCKS port.

    \b
    ssh -o ProxyCommand='tandem connect %h %p' HOST
    """
    from tandem.cli.connect import Login
    from tandem.cli.connect import connect as run_connect

    proxy_host, separator, proxy_port = proxy.rpartition(":")
    if not separator or not proxy_port.isdigit():
        raise UsageError(f"--proxy: {proxy!r} is not an address and a port", "accepted is HOST:PORT")
    login = Login.read(user, password_file) if user and password_file else None
    if login is None and (user or password_file):
        raise UsageError("a user and a password belong together", "--user NAME --password-file FILE")
    run_connect(host, port, proxy_host.strip("[]"), int(proxy_port), login)


@cli.command()
@options.LOG_LEVEL
@click.option("--socks", metavar="HOST:PORT", help="SOCKS port; default 127.0.0.1:1080.")
def demo(log_level: str, socks: str | None) -> None:
    """Run a client, a server and two bad links in one process, with the console.

    A download goes on from the beginning; beside it stands what plain TCP makes of the same links at the same time.
    """
    import shutil

    from tandem.base import logs
    from tandem.config import config
    from tandem.console import console
    from tandem.console.view import Key, View
    from tandem.demo.demo import Demo, introduction
    from tandem.process import running

    loaded = config.load(None, {"socks": {"listen": socks}} if socks else {})
    logs.set_up(log_level, "text")
    click.echo(introduction())
    service = Demo(loaded)
    program = "tandem" if shutil.which("tandem") else min(sys.argv[0], os.path.relpath(sys.argv[0]), key=len)

    async def show() -> None:
        hints = service.hints(program)
        if not sys.stdout.isatty():
            click.echo("\n".join(hints))
        view = View(notes=service.notes, hints=hints, more_keys={"d": Key("drill", service.drill)})
        await console.show(service.status, service.client.set_mode, view)

    running.run(running.serve(service, show))


def _console(service: "Client") -> Callable[[], Awaitable[None]]:
    """The console of a client; what draws it is loaded only where there is one."""
    from tandem.console import console

    return lambda: console.show(service.status, service.set_mode)


def main() -> None:
    """Entry point: maps errors to a message and an exit code."""
    gc.set_threshold(_START_UP_OBJECTS)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show arrows is no reason to exit
    try:
        cli.main(prog_name="tandem", standalone_mode=False)
        _flush_output()
    except BrokenPipeError:
        _abandon_output()
        sys.exit(1)
    except PermissionError as error:
        if error.filename is None:
            raise
        _complain(f"{error.filename}: {error.strerror}", "it belongs to another user; root may read it (sudo)")
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _abandon_output()
        _complain(f"standard output: {error.strerror}", "")
        sys.exit(1)
    except TandemError as error:
        _complain(str(error), error.hint)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


def _flush_output() -> None:
    """Flushes standard output while errors can still be reported; skips a closed one (None)."""
    flush = getattr(sys.stdout, "flush", None)
    if flush is not None:
        flush()


def _abandon_output() -> None:
    """Replaces standard output, so that Python does not flush it again at exit."""
    sys.stdout = io.StringIO()


def _complain(text: str, hint: str) -> None:
    from tandem.base.logs import clean

    click.echo("error: " + "\n".join(clean(line) for line in text.split("\n")), err=True)
    if hint:
        click.echo(f"hint: {clean(hint)}", err=True)

"""The command line. Modules are imported where they are needed: `tandem connect` must start fast."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from tandem import __version__
from tandem.errors import TandemError, UsageError

if TYPE_CHECKING:
    from tandem.config import Config
    from tandem.invites import Invite
    from tandem.state import StateDirectory

_CONFIG = click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file to read.")
_STATE = click.option(
    "--state", type=click.Path(path_type=Path), help="Directory with the server's key and its clients."
)
_ADMIN = click.option("--admin", metavar="HOST:PORT", help="Admin endpoint (client 127.0.0.1:8119, server :8118).")
_LOG_LEVEL = click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
_LOG_FORMAT = click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)

LogFormat = Literal["text", "json"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tandem")
def cli() -> None:
    """Two bad internet connections that behave like one good one.

    On the server, `tandem server`, and `tandem invite laptop --endpoint HOST:8120 --endpoint HOST:8121`.
    On the laptop, `tandem client` with that invite, and a browser or ssh with the SOCKS port 127.0.0.1:1080.
    `tandem demo` shows it all on one machine.
    """


@cli.command()
@_CONFIG
@_STATE
@click.option("--listen", multiple=True, metavar="HOST:PORT", help="UDP address; default: ports 8120 and 8121 on all.")
@click.option("--allow", multiple=True, metavar="CIDR", help="Private network that clients may reach all the same.")
@click.option("--forward", multiple=True, metavar="MATCH=TARGET", help="Such as web=127.0.0.1:80.")
@_ADMIN
@_LOG_LEVEL
@_LOG_FORMAT
def server(
    config_file: Path | None,
    state: Path | None,
    listen: tuple[str, ...],
    allow: tuple[str, ...],
    forward: tuple[str, ...],
    admin: str | None,
    log_level: str,
    log_format: LogFormat,
) -> None:
    """Serve clients: dial what they ask for.

    \b
    tandem server --state /var/lib/tandem --allow 192.168.1.0/24 --forward web=127.0.0.1:80
    """
    from tandem import config, logs, running
    from tandem.server import Server

    section: dict[str, Any] = {"state": state, "listen": list(listen), "allow": list(allow)}
    options: dict[str, Any] = {"server": {key: value for key, value in section.items() if value}}
    options |= (
        {"forward": [_split(item, "--forward MATCH=TARGET", ("match", "target")) for item in forward]}
        if forward
        else {}
    )
    options |= {"admin": {"listen": admin}} if admin else {}
    logs.set_up(log_level, log_format)
    service = Server(config.load(config_file, options))
    running.run(running.serve(service, reload=lambda: service.reload(config.load(config_file, options))))


@cli.command()
@click.argument("name")
@_CONFIG
@_STATE
@click.option("--endpoint", multiple=True, metavar="HOST:PORT", help="Where clients reach this server.")
@click.option("--replace", is_flag=True, help="Give a registered client a new key; its old invite ends.")
@click.option("--qr", is_flag=True, help="Print a QR code too.")
def invite(
    name: str, config_file: Path | None, state: Path | None, endpoint: tuple[str, ...], replace: bool, qr: bool
) -> None:
    """Register a client and print its invite, which is a secret. A running server takes it at once.

    \b
    tandem invite laptop --endpoint vpn.example.org:8120 --endpoint vpn.example.org:8121
    """
    import os

    from tandem import config
    from tandem.addresses import parse_host_port
    from tandem.invites import Invite
    from tandem.state import StateDirectory, default_directory, server_public_key
    from tandem_transport import public_key

    loaded = config.load(config_file, {"server": {"state": state}} if state else {})
    endpoints = list(endpoint) or list(loaded.server.public)
    if not endpoints:
        hint = "--endpoint HOST:8120 --endpoint HOST:8121, or `public` in the [server] section of the configuration"
        raise UsageError("no endpoint: the client would not know where this server is", hint)
    for item in endpoints:
        parse_host_port(item, what="--endpoint")
    directory = StateDirectory(loaded.server.state or default_directory())
    private = os.urandom(32)
    made = Invite(server_public_key(directory), private, tuple(endpoints), name)
    text = made.encode()
    directory.add_client(name, public_key(private), replace=replace)
    click.echo(text)
    if qr:
        import segno

        segno.make(text, error="l").terminal(compact=True)


@cli.command()
@_CONFIG
@_STATE
def clients(config_file: Path | None, state: Path | None) -> None:
    """List the registered clients."""
    for client in _state_directory(config_file, state).clients():
        click.echo(f"{client.name}\t{client.created}")


@cli.command()
@click.argument("name")
@_CONFIG
@_STATE
def revoke(name: str, config_file: Path | None, state: Path | None) -> None:
    """Remove a client; its sessions end within two seconds."""
    _state_directory(config_file, state).remove_client(name)
    click.echo(f"{name} is removed")


@cli.command("client")
@click.argument("invite_source", metavar="[INVITE | @FILE | -]", required=False)
@_CONFIG
@click.option("--link", multiple=True, metavar="NAME=BIND[@HOST:PORT]", help="Such as wifi=wlan0 or dsl=192.168.1.5.")
@click.option("--socks", metavar="HOST:PORT", help="SOCKS port; default 127.0.0.1:1080.")
@click.option("--listen", multiple=True, metavar="[HOST:]PORT=FORWARD", help="Local port of a forward of the server.")
@click.option("--mode", metavar="duplicate|adaptive", help="How the links are used.")
@click.option("--no-console", is_flag=True, help="Logs only.")
@_ADMIN
@_LOG_LEVEL
@_LOG_FORMAT
def client_command(
    invite_source: str | None,
    config_file: Path | None,
    link: tuple[str, ...],
    socks: str | None,
    listen: tuple[str, ...],
    mode: str | None,
    no_console: bool,
    admin: str | None,
    log_level: str,
    log_format: LogFormat,
) -> None:
    """Connect to the server over all links, and offer a SOCKS port.

    The invite comes from standard input (-), a file that only you can read (@FILE), the environment
    (TANDEM_INVITE) or the configuration. Without --link, each interface with a default route is a link.

    \b
    tandem client @invite --link wifi=wlan0 --link mobile=usb0
    tandem client @invite --listen 8128=web
    """
    from tandem import config, console, logs, running
    from tandem.addresses import parse_host_port
    from tandem.ciphers import fastest_cipher_suite
    from tandem.client import Client
    from tandem.events import EventLog
    from tandem.state import default_directory, events_file, instance_id
    from tandem.usage import UsageBook
    from tandem_transport import TransportParameters

    options: dict[str, Any] = {"link": [_parse_link(item) for item in link]} if link else {}
    options |= {"socks": {"listen": socks}} if socks else {}
    options |= {"listen": [_parse_listen(item) for item in listen]} if listen else {}
    options |= {"mode": mode} if mode else {}
    options |= {"admin": {"listen": admin}} if admin else {}
    loaded = config.load(config_file, options)
    logs.set_up(log_level, log_format)
    own = _read_invite(invite_source, loaded)
    parameters = TransportParameters(cipher_suite=fastest_cipher_suite())
    _, socks_port = parse_host_port(loaded.socks.listen, what="socks")
    instance = instance_id(default_directory(), f"client-{socks_port}")
    usage = UsageBook(default_directory() / "usage" / f"client-{socks_port}.json")
    service = Client(loaded, own, parameters, instance, usage, EventLog(events_file(socks_port)))
    running.run(running.serve(service, None if no_console else lambda: console.show(service.status, service.set_mode)))


@cli.command()
@click.argument("host")
@click.argument("port", type=click.IntRange(1, 65535))
@click.option("--proxy", default="127.0.0.1:1080", show_default=True, metavar="HOST:PORT", help="SOCKS port to use.")
def connect(host: str, port: int, proxy: str) -> None:
    """Standard input and output through the client's SOCKS port.

    \b
    ssh -o ProxyCommand='tandem connect %h %p' HOST
    """
    from tandem.connect import connect as run_connect

    proxy_host, separator, proxy_port = proxy.rpartition(":")
    if not separator or not proxy_port.isdigit():
        raise UsageError(f"--proxy: {proxy!r} is not an address and a port", "accepted is HOST:PORT")
    run_connect(host, port, proxy_host.strip("[]"), int(proxy_port))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="The whole status, for programs.")
@click.option("--watch", is_flag=True, help="Again each second, until Ctrl-C.")
@_ADMIN
def status(as_json: bool, watch: bool, admin: str | None) -> None:
    """Show what a running client or server does; exit code 1 where it is not healthy."""
    from tandem.status_command import show_status

    sys.exit(show_status(admin, as_json=as_json, watch=watch))


@cli.command()
@click.argument("wanted", metavar="duplicate|adaptive", type=click.Choice(["duplicate", "adaptive"]))
@_ADMIN
def mode(wanted: str, admin: str | None) -> None:
    """Change how a running client uses its links, both ways and at once; connections stay.

    \b
    duplicate  everything on every link: nothing to lose, and twice the data
    adaptive   what somebody waits for on every link, downloads spread over all of them
    """
    from tandem import admin_client

    admin_client.ask(admin_client.places(admin)[:1], "/mode", {"mode": wanted})
    click.echo(f"mode {wanted}")


@cli.command()
@click.argument("link")
@click.argument("what", nargs=-1, required=True)
@_ADMIN
def drill(link: str, what: tuple[str, ...], admin: str | None) -> None:
    """Make a link of a running client bad for a while, to see that nothing breaks.

    \b
    tandem drill wifi loss=20% delay=80ms for=60s    each way; also jitter=10ms rate=5Mbit/s
    tandem drill wifi down                           for a minute, unless for= says otherwise
    tandem drill wifi off                            ends it
    """
    from tandem import admin_client
    from tandem.drill import parse_drill

    wanted = parse_drill(link, what)
    admin_client.ask(admin_client.places(admin)[:1], "/drill", wanted.model_dump())
    click.echo(f"{link}: {wanted} for {wanted.duration:.0f} s" if wanted.is_on else f"{link}: the drill is over")


@cli.command()
@click.option("--socks", metavar="HOST:PORT", help="SOCKS port of the client, where it is not 127.0.0.1:1080.")
@click.option("--last", default=50, show_default=True, type=click.IntRange(min=1), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
def events(socks: str | None, last: int, as_json: bool) -> None:
    """What happened to this machine's client: links that came and went, and why. It need not run."""
    from collections import deque

    from tandem.addresses import parse_host_port
    from tandem.events import read
    from tandem.state import events_file

    _, port = parse_host_port(socks or "127.0.0.1:1080", what="--socks")
    path = events_file(port)
    try:
        found = deque(read(path), maxlen=last)
    except OSError as error:
        raise TandemError(f"{path}: {error.strerror}", "the client may run as another user") from error
    if not found:
        raise TandemError(f"no events in {path}", "--socks HOST:PORT names the client by its SOCKS port")
    for event in found:
        click.echo(event.model_dump_json(exclude_none=True) if as_json else str(event))


@cli.command()
def password() -> None:
    """Ask for a password and print its hash, for [[socks.user]] in the client's configuration.

    \b
    [[socks.user]]
    name = "anna"
    password = "scrypt$16384$..."
    """
    from tandem.passwords import hash_password

    given = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    click.echo(hash_password(given))


@cli.command()
@_LOG_LEVEL
@click.option("--socks", metavar="HOST:PORT", help="SOCKS port; default 127.0.0.1:1080.")
def demo(log_level: str, socks: str | None) -> None:
    """Client, server and two bad links in one process, with the console."""
    from tandem import config, console, logs, running
    from tandem.demo import Demo, head

    loaded = config.load(None, {"socks": {"listen": socks}} if socks else {})
    logs.set_up(log_level, "text")
    click.echo(head(loaded))
    service = Demo(loaded)
    running.run(running.serve(service, lambda: console.show(service.status, service.client.set_mode)))


def main() -> None:
    """Entry point: maps what goes wrong to a message and an exit code."""
    try:
        cli.main(standalone_mode=False)
    except TandemError as error:
        _complain(str(error), error.hint)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


def _complain(text: str, hint: str) -> None:
    from tandem.logs import mask

    click.echo(f"error: {mask(text)}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)


def _state_directory(config_file: Path | None, state: Path | None) -> "StateDirectory":
    """The server's, as the configuration says."""
    from tandem import config
    from tandem.state import StateDirectory, default_directory

    loaded = config.load(config_file, {"server": {"state": state}} if state else {})
    return StateDirectory(loaded.server.state or default_directory())


def _read_invite(source: str | None, config: "Config") -> "Invite":
    from tandem.invites import Invite

    if source is None:
        if config.invite is None:
            hint = (
                "`tandem invite NAME` on the server prints one; give it by -, @FILE, TANDEM_INVITE or the configuration"
            )
            raise UsageError("no invite", hint)
        return Invite.decode(config.invite.get_secret_value())
    if source == "-":
        text = sys.stdin.readline()
        if not text.strip():
            raise UsageError("no invite on standard input", "tandem client - < FILE")
        return Invite.decode(text)
    if source.startswith("@"):
        return Invite.decode(_read_secret(Path(source[1:])))
    if not source.startswith("tandem://") and Path(source).is_file():
        raise UsageError(f"{source} is a file, not an invite", f"to read it: tandem client @{source}")
    click.echo("warning: others on this machine can see an invite on the command line; use - or @FILE", err=True)
    return Invite.decode(source)


def _read_secret(path: Path) -> str:
    try:
        if sys.platform != "win32" and path.stat().st_mode & 0o077:
            raise UsageError(f"{path}: others can read this invite", f"chmod 600 {path}")
        return path.read_text()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "@FILE names a file with an invite in it") from error


def _parse_link(text: str) -> dict[str, str]:
    fields = _split(text, "--link NAME=BIND[@HOST:PORT]", ("name", "bind"))
    bind, separator, endpoint = fields["bind"].partition("@")
    return {"name": fields["name"], "bind": bind} | ({"endpoint": endpoint} if separator else {})


def _parse_listen(text: str) -> dict[str, Any]:
    from tandem.addresses import parse_host_port

    fields = _split(text, "--listen [HOST:]PORT=FORWARD", ("place", "forward"))
    host, port = parse_host_port(fields["place"], what="--listen", default_host="127.0.0.1")
    return {"host": host, "port": port, "forward": fields["forward"]}


def _split(text: str, form: str, names: tuple[str, str]) -> dict[str, str]:
    """The two sides of the first equals sign; `form` is the option as `--help` has it."""
    first, found, second = text.partition("=")
    if not found or not first or not second:
        option, _, accepted = form.partition(" ")
        raise UsageError(f"{option}: {text!r} has another form", f"accepted is {accepted}")
    return {names[0]: first, names[1]: second}

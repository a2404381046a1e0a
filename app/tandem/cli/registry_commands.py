"""Commands on the server's machine that register and remove clients."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem.base.errors import TandemError, UsageError
from tandem.cli import completing, options

if TYPE_CHECKING:
    from tandem.config.config import Config
    from tandem.server.state import StateDirectory


@click.command()
@click.argument("name")
@options.CONFIG
@options.STATE
@click.option("--endpoint", multiple=True, metavar="HOST:PORT", help="Where clients reach this server.")
@click.option("--replace", is_flag=True, help="Give a registered client a new key; its old invite ends.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it to a file, mode 0600.")
@click.option("--qr", is_flag=True, help="Print a QR code too.")
def invite(
    name: str,
    config_file: Path | None,
    state: Path | None,
    endpoint: tuple[str, ...],
    replace: bool,
    output: Path | None,
    qr: bool,
) -> None:
    """Register a client and print its invite, which is a secret. A running server accepts the client at once.

    With -o the invite goes to a file that only the owner of its directory can read. An existing file stays as it is
    where an error occurs.

    \b
    tandem invite laptop --endpoint vpn.example.org:8120 --endpoint vpn.example.org:8121 -o laptop.invite
    """
    import os

    from tandem.config.invites import Invite
    from tandem.server.state import server_public_key
    from tandem_transport import public_key

    loaded, directory = _server_state(config_file, state)
    endpoints = _endpoints(list(endpoint) or list(loaded.server.public))
    private = os.urandom(32)
    text = Invite(server_public_key(directory), private, tuple(endpoints), name).encode()
    if output is not None:
        _check_writable(output)
    directory.add_client(name, public_key(private), replace=replace)
    if output is None:
        click.echo(text)
    else:
        _write(output, text)
    if qr:
        _show_qr(text)
    for item in endpoints:
        _warn_of_unknown_host(item)


@click.command()
@options.CONFIG
@options.STATE
def clients(config_file: Path | None, state: Path | None) -> None:
    """List the registered clients: name, time of registration, last seen (UTC, to the minute), separated by tabs.

    \b
    tandem clients
    tandem clients --state /var/lib/tandem | grep laptop
    """
    import time

    _, directory = _server_state(config_file, state)
    listing = directory.listing()
    if sys.stdout.isatty():
        head = f"{'name':24}\t{'registered':20}\tlast seen"
        click.echo(head if listing.clients else f"none in {directory.path}")
    for client in listing.clients:
        seen = directory.last_seen(client.name)
        last = "never" if seen is None else time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(seen))
        name = f"{client.name:24}" if sys.stdout.isatty() else client.name
        click.echo(f"{name}\t{client.created}\t{last}")
    for problem in listing.problems.values():
        click.echo(f"warning: {problem}", err=True)


@click.command()
@click.argument("name", shell_complete=completing.clients)
@options.CONFIG
@options.STATE
@options.ADMIN
def revoke(name: str, config_file: Path | None, state: Path | None, admin: str | None) -> None:
    """Remove a client. Its sessions end within two seconds, and its invite stops working.

    The command asks the running server whether it has removed the client, and says so where it cannot ask.

    \b
    tandem revoke laptop
    tandem invite laptop --replace --endpoint SERVER:8120    instead: a new invite in place of the old one
    """
    loaded, directory = _server_state(config_file, state)
    directory.remove_client(name)
    click.echo(f"{name} is removed")
    token = loaded.admin.token.get_secret_value() if loaded.admin.token is not None else None
    _confirm_removal(name, directory, admin or loaded.admin.listen, token)


# --- inside ---


def _server_state(config_file: Path | None, state: Path | None) -> "tuple[Config, StateDirectory]":
    """The loaded configuration, and its state directory."""
    from tandem.base.directories import default_directory
    from tandem.config import config
    from tandem.server.state import StateDirectory

    loaded = config.load(config_file, {"server": {"state": state}} if state else {})
    return loaded, StateDirectory(loaded.server.state or default_directory())


def _endpoints(endpoints: list[str]) -> Sequence[str]:
    from tandem.base.addresses import parse_host_port

    if not endpoints:
        hint = "--endpoint HOST:8120 --endpoint HOST:8121, or `public` in the [server] section of the configuration"
        raise UsageError("no endpoint: the client would not know where this server is", hint)
    for item in endpoints:
        parse_host_port(item, what="--endpoint")
    return endpoints


def _check_writable(file: Path) -> None:
    """Raises UsageError where the file cannot be written. Runs before the client gets a new key: an invite that cannot
    be written is lost."""
    import tempfile

    try:
        if file.exists() and not file.is_file():
            raise UsageError(f"--output: {file} is no file", "name a file, such as laptop.invite")
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise UsageError(f"--output: {file}: {error.strerror}", "name a file in a directory of yours") from error


def _write(file: Path, text: str) -> None:
    from tandem.base.private_files import write_private

    try:
        write_private(file, text.encode() + b"\n")
    except OSError as error:
        hint = f"the client is registered; --replace -o FILE makes another invite ({error.strerror})"
        raise TandemError(f"{file}: {error.strerror}", hint) from error
    click.echo(f"the invite is in {file}: a secret, for the client alone", err=True)


def _show_qr(text: str) -> None:
    """Prints a QR code, black on white whatever the terminal's colours are: most cameras need that."""
    import segno

    made = segno.make(text, error="l")
    border, white, black = 2, "\x1b[107m  ", "\x1b[40m  "
    for row in made.matrix_iter(border=border):
        click.echo("".join(black if is_dark else white for is_dark in row) + "\x1b[0m", color=True)


def _confirm_removal(name: str, directory: "StateDirectory", admin: str | None, token: str | None) -> None:
    """Asks the running server. Raises TandemError where it still accepts the client."""
    from tandem.admin import admin_client
    from tandem.base.addresses import format_host_port
    from tandem.config.config import SERVER_ADMIN_PORT

    place = admin_client.places(admin)[0] if admin else ("127.0.0.1", SERVER_ADMIN_PORT)
    where = format_host_port(*place)
    try:
        said = admin_client.ask([place], "/clients", {}, token=token)
    except TandemError as error:
        click.echo(f"note: no running server was asked ({error}); one with this state follows by itself", err=True)
        return
    if said["state"] != str(directory.path.resolve()):
        click.echo(f"note: the server at {where} has another state directory, {said['state']}", err=True)
    elif name in said["clients"]:
        text = f"the running server at {where} STILL LETS {name} IN: {said['problem'] or 'it has not read its files'}"
        raise TandemError(text, "mend that, or restart the server")
    else:
        click.echo("the running server has let go of it", err=True)


def _warn_of_unknown_host(endpoint: str) -> None:
    """Warns of a name that does not resolve here. The invite stays valid: it may resolve elsewhere, or later."""
    import socket

    from tandem.base.addresses import parse_host_port

    host, port = parse_host_port(endpoint, what="--endpoint")
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no name"
        text = f"warning: {host} cannot be resolved here ({why}); clients will look it up when they connect"
        click.echo(text, err=True)


COMMANDS = (invite, clients, revoke)

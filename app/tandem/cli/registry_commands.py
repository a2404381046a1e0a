"""Commands on the server's machine that register and remove clients."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem.base.errors import TandemError, UsageError
from tandem.cli import completing, options
from tandem.cli.client_commands import clients
from tandem.cli.server_state import loaded_state, registry_of

if TYPE_CHECKING:
    from tandem.config.config import Config
    from tandem.server.inviting import MadeInvite
    from tandem.server.state import StateDirectory


@click.command()
@click.argument("name")
@options.CONFIG
@options.STATE
@click.option("--endpoint", multiple=True, metavar="[tls://]HOST:PORT", help="Where clients reach this server.")
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

    Without --endpoint, the invite names all servers of the registry where there are several, else this server's
    `public` addresses.

    \b
    tandem invite laptop --endpoint vpn.example.org:8120 --endpoint vpn.example.org:8121 -o laptop.invite
    """
    loaded, directory = loaded_state(config_file, state)
    if output is not None:
        _check_writable(output)
        _check_owner(output, name)
    made = _invite(loaded, directory, name, endpoint, replace=replace)
    if made.servers:
        click.echo(f"the invite names {len(made.servers)} servers: {', '.join(made.servers)}", err=True)
    if output is None:
        click.echo(made.text)
    else:
        _write(output, made.text)
    if qr:
        _show_qr(made.text)
    for item in made.endpoints:
        _warn_of_unknown_host(item)


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
    loaded, directory = loaded_state(config_file, state)
    with registry_of(loaded, directory) as registry:
        registry.remove(name)
    click.echo(f"{name} is removed")
    token = loaded.admin.token.get_secret_value() if loaded.admin.token is not None else None
    _confirm_removal(name, registry.place, admin or loaded.admin.listen, token)


@click.command()
@options.CONFIG
@options.STATE
@click.option("--json", "as_json", is_flag=True, help="A JSON array, an object for each server.")
@click.option("--forget", metavar="NAME", help="Remove a server that will not come back; new invites do not name it.")
def servers(config_file: Path | None, state: Path | None, as_json: bool, forget: str | None) -> None:
    """List the servers that share the registry: name, state, sessions, endpoints, separated by tabs.

    A server is in the list once it has run with `public` in its [server] section.

    \b
    tandem servers
    tandem servers --forget berlin-2
    """
    import json

    from tandem.cli.server_state import opened_registry

    with opened_registry(config_file, state) as registry:
        if forget is not None:
            registry.fleet.forget(forget)
        found = registry.fleet.all()
    if as_json:
        click.echo(json.dumps([server.described() for server in found], indent=1))
        return
    if sys.stdout.isatty():
        click.echo("name\tstate\tsessions\tendpoints" if found else "none")
    for server in found:
        line = server.described()
        endpoints = ", ".join(server.endpoints)
        click.echo(f"{server.name}\t{line['state']}\t{server.sessions} of {server.max_sessions}\t{endpoints}")


# --- inside ---


def _invite(
    loaded: "Config", directory: "StateDirectory", name: str, endpoints: Sequence[str], *, replace: bool
) -> "MadeInvite":
    """Registers a client and makes its invite; a service is told which key it must register."""
    from tandem.registry.opening import is_hook
    from tandem.server.inviting import make_invite

    if is_hook(loaded.registry):
        return _invite_of_service(loaded, directory, name, endpoints)
    with registry_of(loaded, directory, creates=True) as registry:
        return make_invite(loaded, directory, registry, name, endpoints, replace=replace)


def _invite_of_service(
    loaded: "Config", directory: "StateDirectory", name: str, endpoints: Sequence[str]
) -> "MadeInvite":
    import base64
    import os

    from tandem.registry.registration import check_name
    from tandem.server.inviting import places
    from tandem_transport import public_key

    found = places(loaded, None, endpoints)
    check_name(name)
    private = os.urandom(32)
    key = base64.b64encode(public_key(private)).decode()
    click.echo(f"note: the service in [registry] must know {name} by its public key: {key}", err=True)
    return found.encode(directory.server_public_key(registered=0), private, name)


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


def _check_owner(file: Path, name: str) -> None:
    """Raises UsageError where a file has another client's invite, which stands nowhere else."""
    from tandem.config.invites import decode_invites

    try:
        owner = decode_invites(file.read_text())[0].name
    except (OSError, ValueError, TandemError):  # there is none, or something else
        return
    if owner != name:
        raise UsageError(f"--output: {file} has the invite of {owner}", f"name another file, such as {name}.invite")


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

    try:
        made = segno.make(text, error="l")
    except segno.encoder.DataOverflowError:
        click.echo("warning: the invite is too long for a QR code", err=True)
        return
    border, white, black = 2, "\x1b[107m  ", "\x1b[40m  "
    for row in made.matrix_iter(border=border):
        click.echo("".join(black if is_dark else white for is_dark in row) + "\x1b[0m", color=True)


def _confirm_removal(name: str, registry: str, admin: str | None, token: str | None) -> None:
    """Asks the running server. Raises TandemError where it still has sessions of the client."""
    from tandem.admin import admin_client
    from tandem.base.addresses import format_host_port
    from tandem.config.config import SERVER_ADMIN_PORT

    place = admin_client.places(admin)[0] if admin else ("127.0.0.1", SERVER_ADMIN_PORT)
    where = format_host_port(*place)
    try:
        said = admin_client.ask([place], "/clients/follow", {"name": name}, token=token)
    except TandemError as error:
        click.echo(f"note: no running server was asked ({error}); one with this registry follows by itself", err=True)
        return
    if said["registry"] != registry:
        click.echo(f"note: the server at {where} has another registry, {said['registry']}", err=True)
    elif said["sessions"] or said["problem"]:
        why = said["problem"] or f"it has {said['sessions']} sessions"
        raise TandemError(
            f"the running server at {where} STILL LETS {name} IN: {why}", "mend that, or restart the server"
        )
    else:
        click.echo("the running server has let go of it", err=True)


def _warn_of_unknown_host(endpoint: str) -> None:
    """Warns of a name that does not resolve here. The invite stays valid: it may resolve elsewhere, or later."""
    import socket

    from tandem.base.addresses import parse_endpoint

    host, port, _ = parse_endpoint(endpoint, what="--endpoint")
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no name"
        text = f"warning: {host} cannot be resolved here ({why}); clients will look it up when they connect"
        click.echo(text, err=True)


COMMANDS = (invite, clients, revoke, servers)

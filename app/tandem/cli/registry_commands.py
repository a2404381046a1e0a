"""Commands on the server's machine that register and remove clients."""

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
    from tandem.registry.fleet import FleetServer
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
    import os

    from tandem.config.invites import Invite, encode_fleet

    loaded, directory = loaded_state(config_file, state)
    fleet = [] if endpoint else _fleet(loaded, directory)
    endpoints: Sequence[str] = () if fleet else _endpoints(list(endpoint) or list(loaded.server.public))
    if output is not None:
        _check_writable(output)
    private = os.urandom(32)
    server_public = _register(loaded, directory, name, private, replace=replace)
    if len(fleet) == 1:
        text = Invite(fleet[0].public_key, private, fleet[0].endpoints, name).encode()
    elif fleet:
        text = encode_fleet([Invite(one.public_key, private, one.endpoints, name) for one in fleet])
        click.echo(f"the invite names {len(fleet)} servers: {', '.join(one.name for one in fleet)}", err=True)
    else:
        text = Invite(server_public, private, tuple(endpoints), name).encode()
    if output is None:
        click.echo(text)
    else:
        _write(output, text)
    if qr:
        _show_qr(text)
    for item in endpoints:
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
        click.echo(json.dumps([_described(server) for server in found], indent=1))
        return
    for server in found:
        line = _described(server)
        endpoints = ", ".join(server.endpoints)
        click.echo(f"{server.name}\t{line['state']}\t{server.sessions} of {server.max_sessions}\t{endpoints}")


# --- inside ---


def _described(server: "FleetServer") -> dict[str, object]:
    state = "gone" if not server.is_alive else "draining" if server.is_draining else "up"
    return {
        "name": server.name,
        "state": state,
        "sessions": server.sessions,
        "max_sessions": server.max_sessions,
        "endpoints": list(server.endpoints),
        "last_seen": server.seen_at,
    }


def _fleet(loaded: "Config", directory: "StateDirectory") -> "list[FleetServer]":
    """The servers of the registry where there are several; else none."""
    from tandem.config.invites import MAX_SERVERS
    from tandem.registry.opening import is_hook, is_local

    if is_hook(loaded.registry):
        return []
    with registry_of(loaded, directory, creates=True) as registry:
        found = registry.fleet.all()
    if len(found) > MAX_SERVERS:
        text = f"{len(found)} servers are in the registry; an invite names at most {MAX_SERVERS}"
        raise UsageError(text, "--endpoint names this server alone; `tandem servers --forget NAME` removes one")
    return [] if is_local(loaded.registry) and len(found) < 2 else found


def _register(loaded: "Config", directory: "StateDirectory", name: str, private: bytes, *, replace: bool) -> bytes:
    """Registers the client, or says which key a service must register; returns the server's public key."""
    import base64

    from tandem.registry.opening import is_hook, is_local
    from tandem.registry.registration import check_name
    from tandem_transport import public_key

    public = public_key(private)
    if is_hook(loaded.registry):
        check_name(name)
        key = base64.b64encode(public).decode()
        click.echo(f"note: the service in [registry] must know {name} by its public key: {key}", err=True)
        return directory.server_public_key(registered=0)
    with registry_of(loaded, directory, creates=True) as registry:
        registered = registry.count() if is_local(loaded.registry) else 0
        server_public = directory.server_public_key(registered=registered)
        registry.add(name, public, replace=replace)
    return server_public


def _endpoints(endpoints: list[str]) -> Sequence[str]:
    from tandem.base.addresses import parse_endpoint

    if not endpoints:
        hint = "--endpoint HOST:8120 --endpoint HOST:8121, or `public` in the [server] section of the configuration"
        raise UsageError("no endpoint: the client would not know where this server is", hint)
    for item in endpoints:
        parse_endpoint(item, what="--endpoint")
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

"""Makes a client's configuration and invites from the options of the command line."""

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tandem.base.addresses import parse_host_port
from tandem.base.errors import UsageError
from tandem.base.private_files import read_private
from tandem.config import config
from tandem.config.config import Config
from tandem.config.invites import SCHEME, Invite, decode_invites

_PUBLISH = "--publish NAME=HOST:PORT"


def load(
    config_file: Path | None,
    *,
    link: tuple[str, ...] = (),
    socks: str | None = None,
    listen: tuple[str, ...] = (),
    publish: tuple[str, ...] = (),
    mode: str | None = None,
    admin: str | None = None,
) -> Config:
    """The configuration of a client with these options. Raises UsageError."""
    options: dict[str, Any] = {"link": [_parse_link(item) for item in link]} if link else {}
    options |= {"socks": {"listen": socks}} if socks else {}
    options |= {"listen": [_parse_listen(item) for item in listen]} if listen else {}
    options |= {"publish": [split(item, _PUBLISH, ("name", "target")) for item in publish]} if publish else {}
    options |= {"mode": mode} if mode else {}
    options |= {"admin": {"listen": admin}} if admin else {}
    return config.load(config_file, options)


def read_invites(source: str | None, config: Config) -> list[Invite]:
    """The invites, one for each server, the preferred first: from the command line, else from the configuration.

    `source`: an invite, @FILE, or - for standard input. Raises UsageError.
    """
    words = _invite_text(source, config).split()
    invites = [word for word in words if word.startswith(SCHEME)]
    found: list[Invite] = []
    for word in invites or words[:1]:
        servers = decode_invites(word)
        random.shuffle(servers)  # the clients of a fleet are to spread over it
        found += servers
    return found


def read_exits(config: Config, own: Sequence[Invite]) -> dict[str, list[Invite]]:
    """The invites of further servers by name: one, or those of a fleet. Raises UsageError.

    `own`: those of the client's own session. Two sessions with one invite would replace each other.
    """
    found: dict[str, list[Invite]] = {}
    used = {(invite.server_public, invite.client_private) for invite in own}
    for item in config.exit:
        text = item.invite.get_secret_value()
        words = (_read_invite(text) if text.startswith("@") else text).split()
        invites = [word for word in words if word.startswith(SCHEME)]
        if len(invites) != 1:
            raise UsageError(f"exit {item.name}: {len(invites)} invites", "one is needed: an invite, or @FILE with it")
        found[item.name] = decode_invites(invites[0])
        random.shuffle(found[item.name])
        keys = {(invite.server_public, invite.client_private) for invite in found[item.name]}
        if keys & used:
            hint = "each session needs one of its own: `tandem invite NAME` on that server"
            raise UsageError(f"exit {item.name}: another session uses this invite", hint)
        used |= keys
    return found


def _invite_text(source: str | None, config: Config) -> str:
    if source is None:
        if config.invite is None:
            hint = (
                "`tandem invite NAME` on the server prints one; give it by -, @FILE, TANDEM_INVITE or the configuration"
            )
            raise UsageError("no invite", hint)
        text = config.invite.get_secret_value()
        return _read_invite(text) if text.startswith("@") else text
    if source == "-":
        text = sys.stdin.readline() if sys.stdin.isatty() else sys.stdin.read()
        if not text.strip():
            raise UsageError("no invite on standard input", "tandem client - < FILE")
        return text.removeprefix("\ufeff")
    if source.startswith("@"):
        return _read_invite(source)
    if not source.startswith(SCHEME) and Path(source).is_file():
        raise UsageError(f"{source} is a file, not an invite", f"to read it: tandem client @{source}")
    click.echo("warning: others on this machine can see an invite on the command line; use - or @FILE", err=True)
    return source


def _read_invite(text: str) -> str:
    """The content of the file that @FILE names."""
    return read_private(Path(text[1:]), "invite", "@FILE names a file with an invite in it")


def _parse_link(text: str) -> dict[str, str]:
    fields = split(text, "--link NAME=BIND[@HOST:PORT]", ("name", "bind"))
    bind, separator, endpoint = fields["bind"].partition("@")
    return {"name": fields["name"], "bind": bind} | ({"endpoint": endpoint} if separator else {})


def _parse_listen(text: str) -> dict[str, Any]:
    fields = split(text, "--listen [HOST:]PORT=FORWARD", ("place", "forward"))
    host, port = parse_host_port(fields["place"], what="--listen", default_host="127.0.0.1")
    return {"host": host, "port": port, "forward": fields["forward"]}


def split(text: str, form: str, names: tuple[str, str]) -> dict[str, str]:
    """The two sides of the first equals sign, by `names`; `form` is the option as `--help` shows it.

    Raises UsageError where a side is missing.
    """
    first, found, second = text.partition("=")
    if not found or not first or not second:
        option, _, accepted = form.partition(" ")
        raise UsageError(f"{option}: {text!r} has another form", f"accepted is {accepted}")
    return {names[0]: first, names[1]: second}

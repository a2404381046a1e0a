"""`tandem clients`: what the server's owner knows of each client, and agrees with it."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem.cli import completing, options
from tandem.cli.server_state import opened_registry

if TYPE_CHECKING:
    from tandem.registry.registration import Registration

NAME = click.argument("name", shell_complete=completing.clients)


@click.group(invoke_without_command=True)
@options.CONFIG
@options.STATE
@click.pass_context
def clients(context: click.Context, config_file: Path | None, state: Path | None) -> None:
    """List the registered clients, show one, change its terms, end its sessions.

    Alone it is the same as `tandem clients list`. A running server follows each change within two seconds.

    \b
    tandem clients
    tandem clients set laptop --quota 50GB/month --expires 2027-03-01 --rate 20Mbit/s
    tandem clients disable laptop
    """
    given = {key: value for key, value in (("config_file", config_file), ("state", state)) if value is not None}
    context.default_map = dict.fromkeys(clients.commands, given)
    if context.invoked_subcommand is None:
        _print_list(config_file, state)


@clients.command("list")
@options.CONFIG
@options.STATE
@click.option("--json", "as_json", is_flag=True, help="A JSON array, an object for each client.")
def list_clients(config_file: Path | None, state: Path | None, as_json: bool) -> None:
    """List the registered clients: name, registered, last seen, used, limits, note; separated by tabs.

    Last seen is `now` for a client that has a session. Used is what it has carried in the present day or month of its
    quota, or in this calendar month. All times are UTC.

    \b
    tandem clients list --json
    tandem clients list --state /var/lib/tandem | grep laptop
    """
    from tandem.registry.terms_text import described

    if as_json:
        with opened_registry(config_file, state) as registry:
            click.echo(json.dumps([described(item) for item in registry.all()], indent=1))
    else:
        _print_list(config_file, state)


@clients.command()
@NAME
@options.CONFIG
@options.STATE
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def show(name: str, config_file: Path | None, state: Path | None, as_json: bool) -> None:
    """Show one client: its terms, what it has used, when it was last seen.

    \b
    tandem clients show laptop
    """
    from tandem.registry.terms_text import described

    with opened_registry(config_file, state) as registry:
        item = registry.get(name)
    if as_json:
        click.echo(json.dumps(described(item), indent=1))
        return
    for key, value in _facts(item):
        click.echo(f"{key:12} {value}")


@clients.command("set")
@NAME
@options.CONFIG
@options.STATE
@click.option(
    "--quota", metavar="SIZE/PERIOD", help="Such as 50GB/month or 2GB/day, both directions together; or none."
)
@click.option("--month-begins", metavar="DAY", help="Day on which the quota's month begins, 1 to 28.")
@click.option("--expires", metavar="DATE", help="Such as 2027-03-01: from then on it is refused; or none.")
@click.option("--rate", metavar="RATE", help="Such as 20Mbit/s, each direction, all its connections together; or none.")
@click.option("--max-streams", metavar="COUNT", help="Connections at the same time; or none.")
@click.option("--note", metavar="TEXT", help="A text for yourself; the client never sees it.")
def set_terms(name: str, config_file: Path | None, state: Path | None, **given: str | None) -> None:
    """Change the terms of a client; what is not named stays as it is. Running servers follow within two seconds.

    \b
    tandem clients set laptop --quota 50GB/month --month-begins 15
    tandem clients set laptop --quota none --rate none
    """
    from tandem.registry.terms_text import changed_terms

    words = {key: value for key, value in given.items() if value is not None}
    if not words:
        raise click.UsageError("nothing to change; `tandem clients set --help` lists what can be")
    with opened_registry(config_file, state) as registry:
        registry.change_terms(name, lambda terms: changed_terms(terms, words))
        item = registry.get(name)
    click.echo(f"{name}: {_limits(item) or 'no limits'}")


@clients.command()
@NAME
@options.CONFIG
@options.STATE
def kick(name: str, config_file: Path | None, state: Path | None) -> None:
    """End the sessions of a client now. It may come back at once; `disable` keeps it out.

    \b
    tandem clients kick laptop
    """
    with opened_registry(config_file, state) as registry:
        registry.kick(name)
    click.echo(f"{name}: its sessions end within two seconds")


@clients.command()
@NAME
@options.CONFIG
@options.STATE
def disable(name: str, config_file: Path | None, state: Path | None) -> None:
    """Keep a client out, and end its sessions, until `enable`. Its invite and its terms stay.

    \b
    tandem clients disable laptop
    """
    _set_disabled(name, config_file, state, is_disabled=True)
    click.echo(f"{name} is disabled; its sessions end within two seconds")


@clients.command()
@NAME
@options.CONFIG
@options.STATE
def enable(name: str, config_file: Path | None, state: Path | None) -> None:
    """Let a client in again that was disabled.

    \b
    tandem clients enable laptop
    """
    _set_disabled(name, config_file, state, is_disabled=False)
    click.echo(f"{name} is enabled")


# --- inside ---


def _print_list(config_file: Path | None, state: Path | None) -> None:
    with opened_registry(config_file, state) as registry:
        found, place = registry.all(), registry.place
    is_seen = sys.stdout.isatty()
    if is_seen:
        head = f"{'name':24}\t{'registered':20}\t{'last seen':17}\t{'used':8}\tlimits"
        click.echo(head if found else f"none in {place}")
    for item in found:
        click.echo(_line(item, width=24 if is_seen else 0))


def _set_disabled(name: str, config_file: Path | None, state: Path | None, *, is_disabled: bool) -> None:
    with opened_registry(config_file, state) as registry:
        registry.change_terms(name, lambda terms: replace(terms, is_disabled=is_disabled))


def _line(item: "Registration", width: int) -> str:
    from tandem.base.units import format_size

    fields = (f"{item.name:{width}}", item.created, f"{_seen(item):17}" if width else _seen(item))
    used = format_size(item.used)
    return "\t".join((*fields, f"{used:8}" if width else used, _limits(item), item.terms.note)).rstrip("\t")


def _seen(item: "Registration") -> str:
    if item.is_online:
        return "now"
    return "never" if item.seen_at is None else time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(item.seen_at))


def _limits(item: "Registration") -> str:
    """The terms of a client in a line; empty where there are none."""
    return ", ".join(text for _, text in _terms(item))


def _terms(item: "Registration") -> Iterator[tuple[str, str]]:
    from tandem.base.units import format_rate, format_time

    terms = item.terms
    if terms.is_disabled:
        yield "disabled", "disabled"
    if terms.quota is not None:
        yield "quota", f"{terms.quota}"
    if terms.rate is not None:
        yield "rate", format_rate(terms.rate)
    if terms.max_streams is not None:
        yield "max streams", f"{terms.max_streams} connections"
    if terms.expires_at is not None:
        word = "expired" if terms.expires_at <= time.time() else "expires"
        yield word, f"{word} {format_time(terms.expires_at)}"


def _facts(item: "Registration") -> Iterator[tuple[str, str]]:
    from tandem.base.units import format_size, format_time

    yield "name", item.name
    yield "registered", item.created
    yield "last seen", _seen(item)
    quota = item.terms.quota
    until = f" of {quota}, which begins anew {format_time(quota.ends_at(time.time()))}" if quota else " this month"
    yield "used", f"{format_size(item.used)}{until}"
    yield from ((key, text) for key, text in _terms(item) if key != "quota")
    if item.terms.note:
        yield "note", item.terms.note

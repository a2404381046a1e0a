"""Commands that help to set Tandem up."""

import sys
from pathlib import Path

import click

from tandem.base.errors import UsageError
from tandem.cli import options


@click.command()
def password() -> None:
    """Ask for a password and print its hash, for [[socks.user]] in the client's configuration.

    Without a terminal, the first line of standard input is the password.

    \b
    [[socks.user]]
    name = "anna"
    password = "scrypt$16384$..."
    """
    from tandem.config.passwords import hash_password

    if sys.stdin.isatty():
        given = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise UsageError("no password", "type one, or give it by standard input: tandem password < FILE")
    click.echo(hash_password(given))


@click.group("config")
def config_group() -> None:
    """Check a configuration, or list all settings."""


@config_group.command()
@options.CONFIG
def check(config_file: Path | None) -> None:
    """Report all errors of the configuration at once, or print it as it is in effect; secrets are masked.

    \b
    tandem config check --config tandem.toml
    """
    from tandem.client.options import read_exits, read_invites
    from tandem.config import config, old_names
    from tandem.config.reference import as_toml

    loaded = config.load(config_file)
    for text in old_names.take_notes():
        click.echo(f"warning: {text}", err=True)
    own = read_invites(None, loaded) if loaded.invite is not None else []
    read_exits(loaded, own)
    click.echo(f"# {config.file_in_use() or 'no file: defaults and environment'}: in order")
    click.echo(as_toml(loaded))


@config_group.command()
def reference() -> None:
    """Print all keys with their types, defaults and meanings."""
    from tandem.config.reference import markdown

    click.echo(markdown())


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    tandem completion bash > ~/.local/share/bash-completion/completions/tandem
    tandem completion zsh  > a file named _tandem in a directory of $fpath
    tandem completion fish > ~/.config/fish/completions/tandem.fish
    """
    from click.shell_completion import get_completion_class

    from tandem.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "tandem", "_TANDEM_COMPLETE").source())


@click.command()
@options.INVITE
@options.CONFIG
@click.option("--link", multiple=True, metavar="NAME=BIND[@HOST:PORT]", help="As for `tandem client`.")
@click.option("--socks", metavar="HOST:PORT", help="The SOCKS port that is meant to be used.")
@click.option("--admin", metavar="HOST:PORT", help="Admin endpoint of a client that runs (127.0.0.1:8119).")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object for each finding.")
def doctor(
    invite_source: str | None,
    config_file: Path | None,
    link: tuple[str, ...],
    socks: str | None,
    admin: str | None,
    as_json: bool,
) -> None:
    """Check each link, the server, the clock and the local port; say what is wrong and what to do.

    Exit code 1 where there is a problem. A running client is not disturbed.

    \b
    tandem doctor @invite --link wifi=wlan0 --link mobile=usb0
    """
    import json

    from tandem.base import logs
    from tandem.client.options import load, read_invites
    from tandem.doctor.doctor import examine
    from tandem.doctor.findings import Finding
    from tandem.process import running

    loaded = load(config_file, link=link, socks=socks, admin=admin)
    own = read_invites(invite_source, loaded)
    logs.set_up("error", "text")
    found: list[Finding] = []

    async def look() -> None:
        for one in own:
            found.extend(await examine(loaded, one))

    running.run(look())
    if as_json:
        click.echo(json.dumps([finding.model_dump() for finding in found], indent=1))
    else:
        click.echo("\n".join(map(str, found)))
    sys.exit(any(finding.verdict == "problem" for finding in found))


@click.command()
@click.argument("destination", metavar="HOST:PORT")
@options.CONFIG
@click.option("--user", default="", metavar="NAME", help="The user of the SOCKS port who asks.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def route(destination: str, config_file: Path | None, user: str, as_json: bool) -> None:
    """Show which way a connection takes by the routes of the configuration, and why. Nothing is connected to.

    \b
    tandem route bank.example.org:443
    tandem route 192.168.1.7:22 --config tandem.toml
    """
    import json

    from tandem.base.addresses import parse_host_port
    from tandem.config import config
    from tandem.routing.routes import Routes

    host, port = parse_host_port(destination, what="HOST:PORT")
    loaded = config.load(config_file)
    decision = Routes(loaded.route).decide(host, port, user)
    why = str(decision.route) if decision.route is not None else "no route matches"
    if as_json:
        number = decision.route.number if decision.route is not None else None
        click.echo(json.dumps({"host": host, "port": port, "via": decision.via, "route": number, "why": why}))
        return
    click.echo(f"{decision.via}\t{why}")
    if decision.via == "session" and loaded.outage == "direct":
        click.echo(f"direct\twhere the server has not answered for {loaded.outage_after:.0f} s (outage)")


COMMANDS = (password, config_group, completion, doctor, route)

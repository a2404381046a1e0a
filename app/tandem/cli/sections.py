"""The commands of `tandem`: in the help sorted by where they are used; each is loaded when it is needed."""

from importlib import import_module

import click

_SENTENCE = 200
"""Characters of the longest first sentence."""

SECTIONS = {
    "On the laptop or router": ("client", "connect", "open", "status", "mode", "speedtest", "drill", "route", "lan"),
    "On the server": ("server", "invite", "clients", "revoke", "servers"),
    "When something is wrong": ("doctor", "events", "config"),
    "Besides": ("demo", "password", "completion"),
}
"""The commands of each section."""

MODULES = {
    "tandem.cli.registry_commands": ("invite", "clients", "revoke", "servers"),
    "tandem.cli.watch_commands": ("open", "status", "mode", "drill", "events", "speedtest"),
    "tandem.cli.setup_commands": ("route", "doctor", "config", "password", "completion"),
    "tandem.cli.lan_commands": ("lan",),
}
"""The modules of the commands that main.py does not have itself; each has them in its COMMANDS."""

_PLACES = {name: module for module, names in MODULES.items() for name in names}


class SectionedGroup(click.Group):
    """A group that loads its commands late, because `tandem connect` must start fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of the help."""
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with a name, None where there is none."""
        if cmd_name not in self.commands and cmd_name in _PLACES:
            for command in import_module(_PLACES[cmd_name]).COMMANDS:
                self.add_command(command)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes all sections, each command with its whole first sentence."""
        for title, names in SECTIONS.items():
            found = ((name, self.get_command(ctx, name)) for name in names)
            with formatter.section(title):
                formatter.write_dl([(name, first_sentence(command)) for name, command in found if command])


def first_sentence(command: click.Command) -> str:
    """What a command does, in its own words."""
    return command.get_short_help_str(_SENTENCE)

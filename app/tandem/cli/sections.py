"""The list of commands in `tandem --help`: sorted by where they are used, each with its whole first sentence."""

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


class SectionedGroup(click.Group):
    """A group whose help shows its commands in sections."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes all sections."""
        known = dict(self.commands)
        for title, names in SECTIONS.items():
            rows = [(name, first_sentence(known.pop(name))) for name in names if name in known]
            with formatter.section(title):
                formatter.write_dl(rows)
        assert not known, f"in no section: {', '.join(known)}"


def first_sentence(command: click.Command) -> str:
    """What a command does, in its own words."""
    return command.get_short_help_str(_SENTENCE)

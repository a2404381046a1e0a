"""Options that several commands share."""

from pathlib import Path

import click

from tandem.cli import completing

INVITE = click.argument(
    "invite_source", metavar="[INVITE | @FILE | -]", required=False, shell_complete=completing.invites
)
CONFIG = click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file to read.")
STATE = click.option(
    "--state", type=click.Path(path_type=Path), help="Directory with the server's key and its clients."
)
ADMIN = click.option(
    "--admin", metavar="HOST:PORT", help="Admin endpoint (client 127.0.0.1:8119, server 127.0.0.1:8118)."
)
LOG_LEVEL = click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
LOG_FORMAT = click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
LOG_FILE = click.option(
    "--log-file", type=click.Path(path_type=Path), help="Append to this file, mode 0600, instead of standard error."
)

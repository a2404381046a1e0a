"""What a start loads: each module costs a start milliseconds, and a router memory."""

import subprocess
import sys
from importlib import import_module

import click

from tandem.cli.main import cli
from tandem.cli.sections import MODULES, SECTIONS


def test_a_client_loads_nothing_that_only_others_need() -> None:
    """Each of these costs a start tens of milliseconds, and a router megabytes."""
    others = ["aiohttp", "prometheus_client", "segno", "sqlalchemy", "dns", "rich", "http.server"]
    code = f"import sys, tandem.client.client; print([name for name in {others} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_is_in_the_help_and_found_where_it_is_said_to_be() -> None:
    listed = {name for names in SECTIONS.values() for name in names}
    for module, names in MODULES.items():
        assert tuple(sorted(names)) == tuple(sorted(command.name for command in import_module(module).COMMANDS)), module
        assert set(names) <= listed
    assert {name for name in listed if cli.get_command(click.Context(cli), name) is None} == set()
    assert cli.get_command(click.Context(cli), "no-such-command") is None


def test_connecting_loads_little() -> None:
    """ssh starts it for each connection."""
    code = "import sys, tandem.cli.main, tandem.cli.connect; print(sorted(n for n in sys.modules if n in {others}))"
    others = {"asyncio", "pydantic", "rich", "cryptography", "tandem_transport", "tandem.cli.registry_commands"}
    done = subprocess.run(
        [sys.executable, "-c", code.format(others=others)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

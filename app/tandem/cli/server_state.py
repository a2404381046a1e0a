"""The server's state and its registry, as commands on the server's machine open them."""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tandem.config.config import Config
    from tandem.registry.registry import Registry
    from tandem.server.state import StateDirectory


def loaded_state(config_file: Path | None, state: Path | None) -> "tuple[Config, StateDirectory]":
    """The loaded configuration, and its state directory."""
    from tandem.base.directories import default_directory
    from tandem.config import config
    from tandem.server.state import StateDirectory

    loaded = config.load(config_file, {"server": {"state": state}} if state else {})
    return loaded, StateDirectory(loaded.server.state or default_directory())


@contextlib.contextmanager
def opened_registry(config_file: Path | None, state: Path | None) -> "Generator[Registry]":
    """The registry, open in the block; root has the rights of the state's owner there. Raises TandemError.

    It must be there: a mistake in --state must not look like a server without clients.
    """
    loaded, directory = loaded_state(config_file, state)
    with registry_of(loaded, directory) as registry:
        yield registry


@contextlib.contextmanager
def registry_of(loaded: "Config", directory: "StateDirectory", *, creates: bool = False) -> "Generator[Registry]":
    """The same for a configuration that is loaded already. `creates`: it is created where there is none."""
    from tandem.base.private_files import acting_as_owner
    from tandem.registry.opening import open_registry

    with acting_as_owner(directory.path):
        registry = open_registry(loaded.registry, directory.path, creates=creates)
        try:
            yield registry
        finally:
            registry.close()

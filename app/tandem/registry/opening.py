"""Which registry the configuration names, and the way to open it."""

from pathlib import Path

from tandem.base.errors import UsageError
from tandem.config.server_sections import RegistryConfig
from tandem.registry.registry import Registry
from tandem.registry.source import ClientSource
from tandem.registry.takeover import has_files, take_over_files

FILE = "registry.db"
"""The registry's file in the state directory, where the configuration names no other."""


def is_hook(section: RegistryConfig) -> bool:
    """Whether the registry is an HTTP service, which Tandem asks, and cannot change."""
    return _url(section, Path()).startswith(("http://", "https://"))


def is_local(section: RegistryConfig) -> bool:
    """Whether the registry is the file in the state directory, whose clients all know the key there."""
    return section.url is None


def open_source(section: RegistryConfig, state: Path) -> ClientSource:
    """The registry that a server asks. Raises TandemError where it cannot be opened."""
    if is_hook(section):
        from tandem.registry.hook import Hook  # an HTTP client costs memory, and few servers have a service to ask

        token = section.token.get_secret_value() if section.token is not None else None
        return Hook(_url(section, state), token)
    return open_registry(section, state)


def open_registry(section: RegistryConfig, state: Path, *, creates: bool = True) -> Registry:
    """The registry as commands change it. Raises TandemError where it cannot be opened, UsageError for a service.

    `creates`: the file in the state directory is created where there is none. Where clients are taken over, it is.
    """
    if is_hook(section):
        raise UsageError(
            "the registry is a service (`url` in [registry]): its clients are changed there",
            "`tandem invite` prints the key that the service must know",
        )
    registry = Registry(_url(section, state), creates=creates or has_files(state))
    try:
        take_over_files(registry, state)
    except BaseException:
        registry.close()
        raise
    return registry


def _url(section: RegistryConfig, state: Path) -> str:
    if section.url is not None:
        return section.url.get_secret_value()
    return f"sqlite:///{state / FILE}"

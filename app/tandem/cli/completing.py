"""Shell completion: suggestions for the word that is being typed; none where an error occurs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem


def clients(context: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """Suggests the names of registered clients."""
    from tandem.cli.server_state import loaded_state, registry_of

    with contextlib.suppress(Exception):
        loaded, directory = loaded_state(context.params.get("config_file"), context.params.get("state"))
        with registry_of(loaded, directory) as registry:
            return [CompletionItem(name) for name in registry.names(word)]
    return []


def links(context: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """Suggests the names of a running client's links."""
    from tandem.admin import admin_client

    with contextlib.suppress(Exception):
        places = admin_client.places(context.params.get("admin"))[:1]
        found = admin_client.ask(places, "/status", timeout=1.0)["links"]
        return [CompletionItem(link["name"]) for link in found if link["name"].startswith(word)]
    return []


def drills(context: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """Suggests the words of a drill."""
    words = ("down", "off", "loss=20%", "delay=80ms", "jitter=10ms", "rate=5Mbit/s", "for=60s")
    return [CompletionItem(item) for item in words if item.startswith(word)]


def invites(context: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """Suggests files after an @."""
    return [CompletionItem(f"@{path}") for path in _files(word[1:])] if word.startswith("@") else []


def _files(beginning: str) -> Iterator[str]:
    head, slash, tail = beginning.rpartition("/")
    with contextlib.suppress(OSError):
        for path in sorted(Path(f"{head}{slash}" or ".").expanduser().iterdir()):
            if path.name.startswith(tail) and (tail or not path.name.startswith(".")):
                yield f"{head}{slash}{path.name}" + ("/" if path.is_dir() else "")

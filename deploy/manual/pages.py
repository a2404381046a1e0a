"""The manual, made from the commands themselves: pages for man(1), and docs/commands.md.

python deploy/manual/pages.py man DIRECTORY     writes tandem.1, tandem-client.1 and so on
python deploy/manual/pages.py markdown FILE     writes all commands into one document
"""

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from tandem import __version__
from tandem.cli.main import cli
from tandem.cli.sections import SECTIONS, first_sentence

FILES = {
    "~/.config/tandem/tandem.toml": "the configuration, if no --config names another",
    "~/.local/state/tandem": "keys, clients and events of this user; of root and services /var/lib/tandem",
    "$XDG_RUNTIME_DIR/tandem": "the token by which the command line reaches a running Tandem",
}
ENVIRONMENT = {
    "TANDEM_INVITE": "the invite of a client",
    "TANDEM_SECTION__KEY": "any setting of the configuration, such as TANDEM_SOCKS__LISTEN",
}
EXIT_CODES = {
    "0": "done; for status: healthy",
    "1": "it could not be done; for status: not healthy",
    "2": "the command or the configuration is wrong",
    "130": "ended by Ctrl-C",
}


class Command(NamedTuple):
    """A command with its whole name, such as `tandem clients set`."""

    name: str
    command: click.Command


def commands() -> Iterator[Command]:
    """All commands, in the order of `tandem --help`; a group comes before its own."""
    for names in SECTIONS.values():
        for name in names:
            yield from _below(f"tandem {name}", command_named(name))


def command_named(name: str) -> click.Command:
    """The command of `tandem` with this name."""
    found = cli.get_command(click.Context(cli), name)
    assert found is not None, name
    return found


def _below(name: str, command: click.Command) -> Iterator[Command]:
    yield Command(name, command)
    if isinstance(command, click.Group):
        for inner, each in command.commands.items():
            yield from _below(f"{name} {inner}", each)


class Text(NamedTuple):
    """A paragraph of a command's help, or an example, whose lines stay as they are."""

    lines: Sequence[str]
    is_example: bool


def texts(command: click.Command) -> Iterator[Text]:
    """The help of a command. A paragraph after a line with \\b is an example."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        lines = paragraph.split("\n")
        is_example = lines[0] == "\b"
        yield Text(lines[1:] if is_example else lines, is_example)


def options(command: click.Command) -> Iterator[tuple[str, str]]:
    """How each option is written, and what it does."""
    context = click.Context(command)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and "--help" not in record[0]:
            yield record


def usage(one: Command) -> str:
    """The synopsis, without the name."""
    return " ".join(one.command.collect_usage_pieces(click.Context(one.command)))


# --- man pages ---


def man_pages() -> dict[str, str]:
    """The pages by file name."""
    pages = {f"{one.name.replace(' ', '-')}.1": _man_page(one) for one in commands()}
    return {"tandem.1": _main_page()} | pages


def _man_page(one: Command) -> str:
    parts = [_head(one.name), ".SH NAME", f"{_dashed(one.name)} \\- {_escaped(_phrase(one.command))}"]
    parts += [".SH SYNOPSIS", f".B {_escaped(one.name)}", _escaped(usage(one)), *_description(one.command)]
    listed = list(options(one.command))
    if listed:
        parts.append(".SH OPTIONS")
        parts += [line for record in listed for line in _item(*record)]
    return _page([*parts, ".SH SEE ALSO", ".BR tandem (1)"])


def _main_page() -> str:
    parts = [_head("tandem"), ".SH NAME", "tandem \\- two bad internet connections that behave like one good one"]
    parts += [".SH SYNOPSIS", ".B tandem", "[OPTIONS] COMMAND [ARGS]...", *_description(cli)]
    for title, names in SECTIONS.items():
        parts += [f'.SH "{title.upper()}"']
        parts += [line for name in names for line in _item(f"tandem-{name}(1)", first_sentence(command_named(name)))]
    for title, table in (("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT), ("EXIT STATUS", EXIT_CODES)):
        parts += [f'.SH "{title}"', *(line for record in table.items() for line in _item(*record))]
    return _page(parts)


def _head(name: str) -> str:
    return f'.TH "{_dashed(name).upper()}" "1" "" "tandem {__version__}" "Tandem"'


def _description(command: click.Command) -> Iterator[str]:
    yield ".SH DESCRIPTION"
    for text in texts(command):
        yield ".PP"
        lines = [_escaped(line) for line in text.lines]
        yield from [".RS 4", ".nf", *lines, ".fi", ".RE"] if text.is_example else lines


def _item(term: str, meaning: str) -> Iterator[str]:
    yield from (".TP", f".B {_escaped(term)}", _escaped(meaning))


def _phrase(command: click.Command) -> str:
    sentence = first_sentence(command).rstrip(".")
    return sentence[0].lower() + sentence[1:]


def _dashed(name: str) -> str:
    return _escaped(name.replace(" ", "-"))


def _escaped(text: str) -> str:
    """Text for troff: a dash is a dash that can be copied, and no line begins with a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _page(parts: Sequence[str]) -> str:
    return "\n".join(parts) + "\n"


# --- one document ---


def markdown() -> str:
    """All commands as docs/commands.md."""
    parts = ["# Commands", "", "Made from the program: `tandem COMMAND --help` says the same.", ""]
    for title, names in SECTIONS.items():
        parts += [f"## {title}", ""]
        for name in names:
            for one in _below(f"tandem {name}", command_named(name)):
                parts += _markdown_of(one)
    return "\n".join(parts)


def _markdown_of(one: Command) -> Iterator[str]:
    yield from (f"### {one.name}", "", f"    {one.name} {usage(one)}".rstrip(), "")
    for text in texts(one.command):
        yield from ([f"    {line}" for line in text.lines] if text.is_example else _prose(text.lines))
        yield ""
    records = list(options(one.command))
    if records:
        yield from ("| option | |", "| --- | --- |")
        yield from (f"| `{_cell(term)}` | {_cell(meaning)} |" for term, meaning in records)
        yield ""


def _prose(lines: Sequence[str]) -> list[str]:
    return [re.sub(r"(?<!`)<(\w+)>", r"`<\1>`", line) for line in lines]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(what: str, place: str) -> None:
    """Writes the pages or the document."""
    if what == "markdown":
        Path(place).write_text(markdown())
        return
    directory = Path(place)
    directory.mkdir(parents=True, exist_ok=True)
    for name, page in man_pages().items():
        (directory / name).write_text(page)


if __name__ == "__main__":
    main(*sys.argv[1:])

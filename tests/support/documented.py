"""The commands that README and the tutorial tell people to type."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/tutorial.md")

PROGRAMS = ("chromium", "curl", "docker", "git", "ip", "make", "pipx", "scp", "ssh", "sudo", "tandem")


def commands(document: str) -> list[str]:
    """The commands of a document as they are typed, in blocks and in sentences, each once."""
    return list(dict.fromkeys(_commands((ROOT / document).read_text())))


def _commands(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("    "):
            typed = re.split(r"\s+#\s", line.strip())[0].removeprefix("(").removesuffix(")")
            if typed.split(" ")[0] in PROGRAMS:
                yield typed
        else:
            spans = re.findall(r"`([^`]+ [^`]+)`", line)
            yield from (span for span in spans if span.split(" ")[0] in PROGRAMS)

"""The output of `tandem doctor`: one finding for each check."""

from typing import Literal

from pydantic import BaseModel

Verdict = Literal["ok", "warning", "problem"]

_MARKS = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}


class Finding(BaseModel):
    """The result of one check."""

    subject: str
    """What was checked: the name of a link, an interface, "links", or "this machine"."""
    check: str
    verdict: Verdict
    text: str
    advice: str = ""
    """What to do, often a command to run; empty where there is nothing to do."""

    def __str__(self) -> str:
        line = f"{_MARKS[self.verdict]} {self.subject}: {self.check}: {self.text}"
        return f"{line}\n        {self.advice}" if self.advice else line

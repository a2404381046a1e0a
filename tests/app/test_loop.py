"""Which event loop runs everything."""

import asyncio
import sys

import pytest

from tandem.process import running


@pytest.mark.parametrize("has_uvloop", [True, False])
def test_it_runs_with_and_without_uvloop(has_uvloop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[str] = []

    async def main() -> None:
        loops.append(type(asyncio.get_running_loop()).__module__)

    monkeypatch.setattr(running, "_raise_descriptor_limit", lambda: None)
    if not has_uvloop:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    running.run(main())
    assert loops == ["uvloop" if has_uvloop and sys.platform != "win32" else "asyncio.unix_events"]

"""Each case in each setup, and the table that is checked in."""

from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from conformance.all_cases import all_cases
from conformance.bench import SETUPS, Setup, bench
from conformance.catalog import Case
from conformance.report import HEAD, table

TABLE = Path(__file__).parent.parent.parent / "docs" / "socks-conformance.md"


def plays() -> list[ParameterSet]:
    """Each case in each setup; `make test` plays those that are quick, on clean links."""
    return [
        pytest.param(
            case, setup, id=f"{case}-{setup}", marks=[pytest.mark.long] if case.is_long or setup.is_long else []
        )
        for case in all_cases()
        for setup in SETUPS
        if setup.has(case)
    ]


@pytest.mark.parametrize(("case", "setup"), plays())
async def test_case(case: Case, setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tandem_socks.tcp.relay.HALF_CLOSE_LINGER", 1.0)
    monkeypatch.setattr("tandem.dialing.tcp_stream.HALF_CLOSE_LINGER", 1.0)
    if "stalled" in case.name:  # a slow machine may need more than a second for the others
        monkeypatch.setattr("tandem_socks.frontend.frontend.NEGOTIATION_TIMEOUT", 1.0)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    async with bench(setup, tmp_path / "state") as made:
        await case.play(made)


def test_the_table_is_up_to_date() -> None:
    expected = HEAD + table({case: ["ok" if setup.has(case) else "-" for setup in SETUPS] for case in all_cases()})
    assert TABLE.read_text() == expected, "run `make conformance`"

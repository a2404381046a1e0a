"""The console, as text: compared with the pictures that are checked in."""

import io
import re

import pytest
from rich.console import Console

import pictures
from tandem.admin.status import ClientStatus, Status
from tandem.console import status_command
from tandem.console.figures import duration, rate
from tandem.console.history import History, sparkline
from tandem.console.screen import fitted, render
from tandem.console.view import Key, View


@pytest.mark.parametrize("width", [80, 120])
def test_the_console_looks_as_it_did(width: int) -> None:
    drawn = pictures.draw(width)
    assert max(map(len, drawn.splitlines())) <= width
    assert drawn == pictures.picture(width).read_text(), "python tests/support/pictures.py writes it anew"


def test_colours_only_repeat_what_words_say() -> None:
    def draw(*, colours: bool) -> str:
        console = Console(
            width=80, file=io.StringIO(), force_terminal=colours, color_system="standard" if colours else None
        )
        console.print(render(pictures.status("outage"), pictures.history("outage")))
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    coloured = draw(colours=True)
    assert "\x1b[" in coloured
    assert "\x1b[37" not in coloured, "white and black vanish on one background or the other"
    assert "\x1b[30" not in coloured
    assert "ALL LINKS ARE DOWN for 1 min 15 s" in draw(colours=False)


def window(width: int, height: int, view: View, status: ClientStatus | None = None) -> list[str]:
    """What a window of this size shows."""
    console = Console(width=width, height=height, file=io.StringIO())
    console.print(fitted(status or pictures.status(), pictures.history(), view, console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def busy() -> View:
    hints = ["Try this:", "  and that"]
    return View(has_keys=True, lines=[f"12:00:0{number} line {number}" for number in range(6)], hints=hints)


@pytest.mark.parametrize("height", [60, 40, 32, 28, 24, 20, 16])
def test_in_every_window_the_newest_lines_and_the_keys_stay(height: int) -> None:
    drawn = window(80, height, busy())
    assert len(drawn) <= height
    assert drawn[-1].startswith("q quit")
    lines = [line.strip() for line in drawn if line.startswith("12:00:0")]
    assert lines == [f"12:00:0{number} line {number}" for number in range(6)][6 - len(lines) :], "the newest"
    assert (len(lines) == 6) >= (height >= 32)
    assert any("Try this:" in line for line in drawn) >= (height >= 28)


@pytest.mark.parametrize("width", [80, 100, 140, 200])
@pytest.mark.parametrize("height", [16, 24, 40, 60])
def test_a_window_is_never_exceeded_and_a_larger_one_shows_no_less(width: int, height: int) -> None:
    status = pictures.status()
    status.streams = [status.streams[0].model_copy(update={"target": f"host{i}.example:443"}) for i in range(30)]
    status.session.streams_open = 30
    drawn = window(width, height, busy(), status)
    assert len(drawn) <= height
    assert max(map(len, drawn)) <= width
    shown = sum("host" in line for line in drawn)
    assert shown == 30 or f"and {30 - shown} more" in "".join(drawn) or not shown
    assert height < 60 or shown >= 25, "a large window has room for them"
    sparks = max(sum(line.count(bar) for bar in "▁▂▃▄▅▆▇█") for line in drawn)
    assert sparks == min(60, width - 50) or (height < 24 and not sparks)


@pytest.mark.parametrize("width", [72, 60, 50, 40])
def test_a_narrow_window_leaves_out_columns_and_says_which(width: int) -> None:
    drawn = window(width, 30, busy())
    assert max(map(len, drawn)) <= width
    titles = next(line for line in drawn if "state" in line)
    assert "RTT ms" in titles
    assert "loss↓" in titles
    sign = next(line for line in drawn if line.startswith("… too narrow for"))
    assert "p95" in sign
    assert "p95" not in titles
    states = [line.split() for line in drawn if " degraded " in line]
    assert states, "each row is whole"


@pytest.mark.parametrize("height", [6, 8, 10])
def test_what_a_flat_window_cuts_off_has_a_sign(height: int) -> None:
    drawn = window(80, height, busy())
    assert len(drawn) == height
    assert re.fullmatch(r"… \d+ more rows: this window is too small", drawn[-1].strip())


def test_words_are_explained() -> None:
    view = busy()
    view.press("?", pictures.status())
    for height in (24, 30, 50):
        drawn = window(80, height, view)
        assert any(line.startswith("rescued ") for line in drawn)
        assert drawn[-1].startswith("q quit")
        assert any(" wifi " in line for line in drawn) >= (height >= 30)
    view.press("?", pictures.status())
    assert not any(line.startswith("rescued ") for line in window(80, 30, view))


def test_a_console_may_have_keys_of_its_own() -> None:
    pressed: list[str] = []
    view = View(has_keys=True, more_keys={"d": Key("drill wifi", lambda: pressed.append("d"))})
    assert "d drill wifi" in window(100, 30, view)[-1]
    view.press("d", pictures.status())
    assert pressed == ["d"]


def test_an_outage_says_how_long_the_outage_is_not_the_session() -> None:
    first = window(80, 30, View(), pictures.status("outage"))[0]
    assert "session outage for 1 min 15 s" in first


def test_one_look_has_no_rows_for_graphs_that_nobody_has_drawn_yet() -> None:
    console = Console(width=80, file=io.StringIO())
    status = pictures.status()
    console.print(render(status))
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    names = [link.name for link in status.links if not link.reason and not link.drill]
    assert names
    assert all(drawn.count(f" {name} ") <= 1 for name in names)


def test_what_the_system_says_of_a_link_fits_beside_its_graph() -> None:
    status = pictures.status("outage")
    status.links[0].reason = "Network is unreachable, says the system; no answer"
    console = Console(width=80, file=io.StringIO())
    console.print(render(status, pictures.history("outage")))
    assert isinstance(console.file, io.StringIO)
    assert " Network is unreachable, says the" in console.file.getvalue()


def test_keys_go_through_links_and_orders() -> None:
    view, status = View(), pictures.status()
    seen: list[str | None] = []
    for _ in range(4):
        view.press("l", status)
        seen.append(view.detail)
    assert seen == ["wifi", "a-phone-with-a-long-name", "dsl", None]
    for expected in ("rate", "age", "bytes"):
        view.press("s", status)
        assert view.sort == expected
    view.press("x", status)


def test_a_sparkline_is_as_high_as_its_scale_says() -> None:
    assert sparkline([0, 1, 2, 4, 8], 8) == "▁▂▃▅█"
    assert sparkline([0, 1, 2, 4, 8], 16) == "▁▁▂▃▅"
    assert sparkline([0, 0], 0) == "▁▁"
    assert sparkline([], 0) == ""


def test_connections_say_which_way_they_take_where_there_are_several() -> None:
    def draw() -> list[str]:
        console = Console(width=100, file=io.StringIO())
        console.print(render(status, pictures.history()))
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue().splitlines()

    status = pictures.status()
    assert not any(line.rstrip().endswith(" via") for line in draw())
    status.streams[1].via = "link:wifi"
    drawn = draw()
    assert any(line.rstrip().endswith(" via") for line in drawn)
    assert any("www.example" in line and line.rstrip().endswith(" session") for line in drawn)
    assert any("git.a-very" in line and line.rstrip().endswith(" link:wifi") for line in drawn)
    assert any("and 10 more" in line for line in drawn), "eleven of the session, and one beside it"


def test_rates_of_connections_are_those_since_the_last_look() -> None:
    history, status = History(), pictures.status()
    history.note(status, now=0)
    status.uptime_s += 2
    for stream in status.streams:
        stream.age_s += 2
    status.streams[0].bytes_down += 1_000_000
    history.note(status, now=2)
    assert history.stream_rate(status.streams[0]) == 4_000_000
    assert history.stream_rate(status.streams[0].model_copy(update={"id": 99})) == 0


def test_rates_of_two_connections_to_one_place_are_not_mixed_up() -> None:
    history, status = History(), pictures.status()
    status.streams = [status.streams[0].model_copy(update={"id": i, "bytes_down": i * 1_000_000}) for i in (1, 50)]
    history.note(status, now=0)
    history.note(status, now=2)
    assert [history.stream_rate(stream) for stream in status.streams] == [0, 0]


def test_figures() -> None:
    assert [duration(seconds) for seconds in (0, 59.9, 61, 3661, 90_000)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "1 h 1 min",
        "1 d 1 h",
    ]
    assert [rate(bits) for bits in (0, 999, 1.5e6, 2e9)] == ["0", "999", "1.5 M", "2 G"]


@pytest.mark.parametrize("status", [pictures.status(), pictures.server()], ids=["client", "server"])
def test_a_terminal_that_knows_only_lines_is_shown_the_status_again_and_again(
    status: Status, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[float] = []

    def ask(places: object, path: str) -> dict[str, object]:
        return status.model_dump()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("FORCE_COLOR", "1")  # for rich, this is a terminal then
    monkeypatch.setattr("tandem.console.status_command.time.sleep", sleep)
    monkeypatch.setattr("tandem.admin.admin_client.ask", ask)
    assert status_command.show_status("127.0.0.1:1", as_json=False, watch=True) == 130
    shown = capsys.readouterr().out
    assert shown.count("wifi" if isinstance(status, ClientStatus) else "Tandem server:") >= 3

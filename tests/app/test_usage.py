"""Amounts, caps, and what is kept of them."""

import errno
import logging
from pathlib import Path

import pytest

from tandem.base.units import format_size, parse_rate, parse_size
from tandem.client.links import preference_of
from tandem.client.usage import LinkCap, UsageBook
from tandem.config.config import LinkConfig
from tandem_transport import PathPreference, PathUse


@pytest.mark.parametrize(
    ("text", "size"),
    [("0 B", 0), ("1.5 GB", 1_500_000_000), ("2GiB", 2 << 30), ("10 KB", 10_000), (" 3 MiB ", 3 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "rate"), [("8 Mbit/s", 1_000_000), ("500kbit/s", 62_500), ("1.5 MB/s", 1_500_000)])
def test_rates(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["5", "GB", "5 XB", "-1 GB", "1e3 MB", "five GB", "5 Gbit/s"])
def test_what_is_no_size_says_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="accepted is a number and B, kB, MB"):
        LinkConfig(name="a", bind="x", daily_cap=text)


def test_what_is_no_rate_says_what_is() -> None:
    for text in ("5", "5 GB", "fast"):
        with pytest.raises(ValueError, match="accepted is a number and bit/s"):
            LinkConfig(name="a", bind="x", max_rate=text if "GB" not in text else "5 XB/s")


def test_what_an_idle_link_carries_is_saved_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, now = tmp_path / "usage.json", 0.0
    monkeypatch.setattr("tandem.client.usage.time.monotonic", lambda: now)
    book = UsageBook(path, date=lambda: "2026-11-29")
    saved: list[float] = []
    for now in range(0, 1300, 5):
        book.count("wifi", 60 if now > 100 else 20_000)
        path.unlink(missing_ok=True)
        book.save_if_due()
        saved += [now] * path.exists()
    assert saved == [30, 60, 90, 690, 1290]


def test_sizes_are_told_with_three_digits() -> None:
    assert [format_size(count) for count in (0, 999, 1234, 1.5e9, 2e12)] == [
        "0 B",
        "999 B",
        "1.23 kB",
        "1.5 GB",
        "2 TB",
    ]


def test_wishes_say_what_links_cost() -> None:
    links = [
        LinkConfig(name="a", bind="x"),
        LinkConfig(name="b", bind="y", use="metered", max_rate="8 Mbit/s"),
        LinkConfig(name="c", bind="z", use="backup"),
    ]
    assert [preference_of(link, path_id) for path_id, link in enumerate(links)] == [
        PathPreference(0, PathUse.AVAILABLE, 0),
        PathPreference(1, PathUse.METERED, 1_000_000),
        PathPreference(2, PathUse.BACKUP, 0),
    ]


class Clock:
    """A calendar that a test turns."""

    date = "2026-11-25"

    def __call__(self) -> str:
        return self.date


def test_a_cap_warns_and_then_switches_the_link_off_until_its_time_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    config = LinkConfig(name="lte", bind="x", daily_cap="1 MB", monthly_cap="2 MB")
    book = UsageBook(tmp_path / "usage.json", date=clock)
    cap = LinkCap(config, book)
    assert cap.problem() == ""
    assert not cap.on_carried(700_000)
    with caplog.at_level(logging.WARNING):
        assert cap.usage().day_bytes == 700_000, "asking for the status puts nothing off"
        assert cap.on_carried(60_000), "there is something to say"
        assert not cap.on_carried(1), "once is enough"
        for _ in range(3):
            assert cap.problem() == ""
    assert caplog.messages == ["link lte: 76% of its daily cap of 1 MB are used"]
    assert cap.on_carried(239_999)
    assert cap.problem() == "its daily cap of 1 MB is used up"
    clock.date = "2026-11-26"
    assert cap.problem() == ""
    cap.on_carried(990_000)
    assert cap.problem() == ""
    clock.date = "2026-11-27"
    cap.on_carried(110_000)
    assert cap.problem() == "its monthly cap of 2 MB is used up"
    clock.date = "2026-12-01"
    assert cap.problem() == ""
    assert book.usage("lte").month_bytes == 0


def test_usage_is_kept_across_restarts_and_a_broken_file_is_no_harm(tmp_path: Path) -> None:
    path, clock = tmp_path / "state" / "usage.json", Clock()
    book = UsageBook(path, date=clock)
    book.count("lte", 1000)
    book.save()
    again = UsageBook(path, date=clock)
    again.count("lte", 500)
    assert (again.usage("lte").day_bytes, again.usage("lte").month_bytes) == (1500, 1500)
    for text in ("{", "[]", '{"lte": {}}', '{"lte": 5}'):
        path.write_text(text)
        assert UsageBook(path, date=clock).usage("lte").day_bytes == 0


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = tmp_path / "usage.json", Clock()
    book = UsageBook(path, date=clock)
    book.count("lte", 1000)
    book.save()
    before = path.read_text()

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tandem.base.private_files.os.fsync", no_space)
    book.count("lte", 2000)
    book.save()
    assert path.read_text() == before
    assert [item.name for item in tmp_path.iterdir()] == ["usage.json"]

"""What routes are about: patterns, the set of private hosts, files of patterns."""

import os
from pathlib import Path

import pytest

from tandem.config.destinations import MAX_LINES, PatternFile, parse_destinations


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("example.org", [("example.org", 1), ("example.org", 443)], [("a.example.org", 443), ("example.com", 443)]),
        ("*.example.org", [("a.example.org", 1), ("a.b.example.org", 1)], [("example.org", 1), ("xexample.org", 1)]),
        ("*.example.org:443", [("a.example.org", 443)], [("a.example.org", 80)]),
        ("*:25", [("example.org", 25), ("192.0.2.1", 25), ("2001:db8::1", 25)], [("example.org", 26)]),
        ("host:8000-8999", [("host", 8000), ("host", 8999)], [("host", 9000)]),
        ("*", [("example.org", 1), ("::1", 65535)], []),
        ("192.0.2.0/24", [("192.0.2.7", 1)], [("192.0.3.1", 1), ("name.example", 1)]),
        ("192.0.2.7:22", [("192.0.2.7", 22)], [("192.0.2.7", 23)]),
        ("[2001:db8::]/32:22", [], []),
        ("2001:db8::/32", [("2001:db8::1", 9)], [("2001:db9::1", 9)]),
        ("private", [("nas", 80), ("printer.local", 631), ("localhost", 1), ("x.home.arpa", 1)], [("example.org", 80)]),
        ("private", [("10.1.2.3", 1), ("172.31.0.1", 1), ("192.168.0.1", 1), ("127.0.0.1", 1)], [("172.32.0.1", 1)]),
        ("private", [("169.254.1.1", 1), ("fe80::1", 1), ("fd00::1", 1), ("::1", 1)], [("2001:db8::1", 1)]),
        ("private", [("::ffff:10.0.0.1", 1)], [("::ffff:192.0.2.1", 1), ("100.64.0.1", 1)]),
    ],
)
def test_what_a_destination_contains(text: str, inside: list[tuple[str, int]], outside: list[tuple[str, int]]) -> None:
    if text.startswith("["):
        with pytest.raises(ValueError, match="is accepted"):
            parse_destinations(text)
        return
    found = parse_destinations(text)
    assert found.text == text
    assert [place for place in inside if not found.contains(*place)] == []
    assert [place for place in outside if found.contains(*place)] == []


@pytest.mark.parametrize("text", ["", "a b", "host:0", "host:70000", "10.0.0.1/8", "http://x", "fe80::1:22:x", "@"])
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises((ValueError, OSError)):
        parse_destinations(text)


def test_a_file_is_the_union_of_its_lines_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("# ads\nads.example\n*.tracker.example:443  # theirs\n\n198.51.100.0/24\na*.example\n")
    file = PatternFile(path)
    inside = [("ads.example", 80), ("x.tracker.example", 443), ("y.x.tracker.example", 443), ("198.51.100.9", 1)]
    assert all(file.contains(*place) for place in [*inside, ("abc.example", 1)])
    assert not any(file.contains(*place) for place in [("x.ads.example", 80), ("x.tracker.example", 80), ("b.c", 1)])
    assert not file.read_if_changed()
    path.write_text("other.example\n")
    os.utime(path, ns=(1, 1))
    assert file.read_if_changed()
    assert file.contains("other.example", 1)
    assert not file.contains("ads.example", 80)


def test_a_mistake_in_a_file_names_its_line_and_leaves_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("ads.example\n")
    file = PatternFile(path)
    for text, said in (("ok.example\nno good\n", "line 2"), ("x\n" * (MAX_LINES + 1), "more than")):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            file.read_if_changed()
        assert file.contains("ads.example", 1)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file.read_if_changed()
    assert file.contains("ads.example", 1)


def test_a_long_file_of_networks_is_searched_by_number(tmp_path: Path) -> None:
    path = tmp_path / "list"
    networks = [f"10.{number // 256}.{number % 256}.0/24" for number in range(5000)]
    path.write_text("\n".join([*networks, "198.51.100.0/25:443", "2001:db8::/32", "192.0.2.7", "*.x.y"]))
    file = PatternFile(path)
    inside = [
        ("10.19.135.9", 1),
        ("198.51.100.127", 443),
        ("2001:db8:1::", 1),
        ("192.0.2.7", 9),
        ("::ffff:10.0.0.1", 1),
    ]
    outside = [("10.19.136.9", 1), ("198.51.100.128", 443), ("198.51.100.1", 80), ("2001:db9::", 1), ("192.0.2.8", 9)]
    assert [place for place in inside if not file.contains(*place)] == []
    assert [place for place in outside if file.contains(*place)] == []
    assert len(list(file.patterns)) == 5004


def test_a_long_file_is_searched_by_name(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("\n".join(f"*.site{number}.example" for number in range(5000)))
    file = PatternFile(path)
    assert file.contains("a.b.site77.example", 1)
    assert not file.contains("a.b.site7777.example", 1)
    assert len(list(file.patterns)) == 5000

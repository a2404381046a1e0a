"""The list of routes, and what a browser is told of it."""

import asyncio
import os
from pathlib import Path

import pytest

from tandem.base.errors import UsageError
from tandem.config.client_sections import RouteConfig
from tandem.routing import routes as routes_module
from tandem.routing.pac import MAX_PATTERNS, pac_rules
from tandem.routing.routes import Routes


def routes(*pairs: tuple[str, str] | tuple[str, str, str]) -> Routes:
    return Routes([RouteConfig(match=pair[0], via=pair[1], user=pair[2] if len(pair) > 2 else "*") for pair in pairs])


def test_the_first_route_that_matches_decides() -> None:
    made = routes(
        ("bank.example:443", "link:wifi"), ("*.example", "direct"), ("*:25", "block"), ("private", "direct", "anna")
    )
    assert made.decide("bank.example", 443).via == "link:wifi"
    assert made.decide("BANK.example.", 443).via == "link:wifi", "every spelling of a name"
    assert made.decide("bank.example", 80).via == "direct"
    assert made.decide("mail.test", 25).via == "block"
    assert made.decide("mail.test", 26).via == "session"
    assert made.decide("10.0.0.1", 80).via == "session"
    assert made.decide("10.0.0.1", 80, "anna").via == "direct"
    assert made.decide("0x0a.1", 80).via == "session", "what is no name is the server's to refuse"
    assert str(made.decide("10.0.0.1", 80, "anna").route) == "route 4, private for anna"
    assert made.decide("mail.test", 26).route is None


async def test_files_are_followed_and_a_mistake_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(routes_module, "_FOLLOW_INTERVAL", 0.01)
    caplog.set_level("INFO")
    path = tmp_path / "list"
    path.write_text("old.example\n")
    made = routes((f"@{path}", "direct"))
    following = asyncio.create_task(made.follow_files())

    async def until(text: str) -> None:
        for _ in range(6000):
            if text in caplog.text:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(caplog.text)

    path.write_text("no good\n")
    await until("line 1")
    assert made.decide("old.example", 1).via == "direct"
    path.unlink()
    await until("No such file")
    path.write_bytes(b"\xff\xfe\xfa")
    await until("list: ")
    path.write_text("new.example\n")
    os.utime(path, ns=(1, 1))
    await until("was read again")
    assert made.decide("new.example", 1).via == "direct"
    assert made.decide("old.example", 1).via == "session"
    assert caplog.text.count("line 1") == 1
    following.cancel()


def test_a_file_that_is_gone_between_check_and_use_is_an_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("x.example")
    config = RouteConfig(match=f"@{path}", via="direct")
    path.unlink()
    with pytest.raises(UsageError, match="No such file"):
        Routes([config])


@pytest.mark.parametrize(
    ("match", "via", "said"),
    [
        ("a b", "direct", "is accepted"),
        ("x", "proxy", "accepted is session, direct, block, link:NAME, or server:NAME"),
        ("x", "link:", "accepted is"),
        ("@/nowhere/list", "direct", "@FILE names a file"),
    ],
)
def test_mistakes_in_routes(match: str, via: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RouteConfig(match=match, via=via)


def test_a_browser_is_told_what_it_can_do_itself_and_no_more(tmp_path: Path) -> None:
    plain = "if (isPlainHostName(host) || "
    assert pac_rules([]).splitlines()[1].startswith(plain)
    long = tmp_path / "long"
    long.write_text("\n".join(f"a{number}.example" for number in range(MAX_PATTERNS + 1)))
    told = pac_rules(
        routes(
            ("work.example:443", "direct"),
            ("*.ads.example", "block"),
            ("bank.example", "link:wifi"),
            ("kids.example", "direct", "kids"),
            ("192.0.2.0/24:80-90", "direct"),
            ("2001:db8::/32", "direct"),
            (f"@{long}", "direct"),
            ("never.example", "direct"),
        ).all
    ).splitlines()
    assert told == [
        'if (host.indexOf(":") >= 0 || shExpMatch(host, "*.forward")) return there;',
        'if (shExpMatch(host, "work.example") && port >= 443 && port <= 443) return here;',
        'if (shExpMatch(host, "*.ads.example")) return there;',
        'if (shExpMatch(host, "bank.example")) return there;',
        'if (shExpMatch(host, "kids.example")) return there;',
        'if (/^\\d+\\.\\d+\\.\\d+\\.\\d+$/.test(host) && isInNet(host, "192.0.2.0", "255.255.255.0")'
        " && port >= 80 && port <= 90) return here;",
        "return there;",
    ]

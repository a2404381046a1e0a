"""The page of a real client and a real server in a real browser: what it shows, what its buttons do, for everybody."""

import re
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from headless import CHROMIUM, accessibility_violations, browser, opened
from loopback import Gate, Pair, Target, link_options, run_tandem

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture
def chromium() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.fixture
def mistakes() -> Iterator[list[str]]:
    found: list[str] = []
    yield found
    assert not found


def ticket(pair: Pair, admin: int) -> str:
    """The link that `tandem open` opens."""
    done = run_tandem("open", "--print", "--admin", f"127.0.0.1:{admin}", environment=pair.environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_client(pair: Pair, gates: list[Gate], target: Target, chromium: Browser, mistakes: list[str]) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), *link_options(gates))
    command = ["curl", "-sS", "--limit-rate", "200k", "--max-time", "120", "-o", "/dev/null"]
    command += ["--socks5-hostname", f"127.0.0.1:{pair.socks_port}", f"http://127.0.0.1:{target.port}/bytes/20000000"]
    with subprocess.Popen(command) as download:
        page = opened(chromium, ticket(pair, pair.client_admin), mistakes=mistakes)
        expect(page.locator("#summary")).to_contain_text("2 of 2 links work")
        assert "#" not in page.url, "the ticket stands in no history"
        expect(page.get_by_role("table", name="The connections")).to_contain_text(f"127.0.0.1:{target.port}")
        assert accessibility_violations(page) == []
        page.get_by_role("button", name="Duplicate").click()
        expect(page.get_by_role("button", name="Duplicate")).to_have_attribute("aria-pressed", "true")
        assert pair.client_status()["mode"] == "duplicate"
        card = page.get_by_role("article", name="Link a")
        card.get_by_role("button", name="Drill: down").click()
        expect(card).to_contain_text("drill: down")
        expect(card.locator(".state")).to_have_text("down")
        card.get_by_role("button", name="End the drill").click()
        expect(card.locator(".state")).not_to_have_text("down")
        expect(page.get_by_role("list")).to_contain_text("drill ends")
        download.kill()
    page.reload()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.get_by_text("Who has logged in sees where they lead")).to_be_visible()


def test_a_speedtest_tells_how_far_it_is(pair: Pair, gates: list[Gate], chromium: Browser, mistakes: list[str]) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), *link_options(gates))
    page = opened(chromium, ticket(pair, pair.client_admin), mistakes=mistakes)
    page.get_by_role("button", name="Measure the speed").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_text("step 1 of 6")).to_be_visible()
    expect(page.get_by_role("table", name="Speed")).to_contain_text("all together", timeout=180_000)
    expect(page.get_by_role("progressbar")).to_be_hidden()


def test_a_stranger_on_a_phone_reads_and_finds_no_buttons(
    pair: Pair, gates: list[Gate], chromium: Browser, mistakes: list[str]
) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), *link_options(gates))
    url = f"http://localhost:{pair.client_admin}/"
    page = opened(chromium, url, width=360, scheme="dark", mistakes=mistakes)
    expect(page.get_by_role("article", name="Link b")).to_be_visible()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert page.get_by_role("button").count() == 1
    assert accessibility_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing stands out at the side"
    page.get_by_label("Token").fill("not the token")
    page.keyboard.press("Enter")
    expect(page.get_by_text("This is not the token.")).to_be_visible()


def test_a_server(pair: Pair, gates: list[Gate], chromium: Browser, mistakes: list[str]) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), *link_options(gates))
    page = opened(chromium, ticket(pair, pair.server_admin), mistakes=mistakes)
    clients = page.get_by_role("table", name="Who may use this server")
    expect(clients).to_contain_text("usable")
    page.get_by_label("Name of the new client").fill("boat")
    page.get_by_label("Endpoints").fill("vpn.example.org:8120")
    page.keyboard.press("Enter")
    invite = page.get_by_label("Invite of boat", exact=True)
    expect(invite).to_have_value(re.compile("^tandem://1/"))
    expect(page.get_by_role("img", name="QR code of the invite of boat")).to_be_visible()
    expect(clients.get_by_role("row", name="boat")).to_contain_text("never seen")
    assert accessibility_violations(page) == []
    page.get_by_role("button", name="Quota of boat").click()
    page.get_by_placeholder("50GB/month").fill("5GB/day")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(clients.get_by_role("row", name="boat")).to_contain_text("5.0 GB a day")
    page.get_by_role("button", name="Disable boat").click()
    expect(clients.get_by_role("row", name="boat")).to_contain_text("disabled")
    page.get_by_role("button", name="Revoke boat").click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(clients.get_by_role("row", name="boat")).to_have_count(0)


def test_a_page_of_another_port_cannot_use_the_login(
    pair: Pair, gates: list[Gate], target: Target, chromium: Browser
) -> None:
    """The browser sends its cookie there, and would send it with this page's requests too: same site, other origin."""
    pair.start_server()
    pair.start_client(pair.invite(), *link_options(gates))
    page = opened(chromium, ticket(pair, pair.client_admin), mistakes=[])
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.goto(f"http://127.0.0.1:{target.port}/bytes/1")
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url.rpartition("/")[2]))
    attack = """async (base) => {
        const options = { method: "POST", mode: "no-cors", credentials: "include", body: '{"mode": "duplicate"}' };
        await fetch(`${base}/mode`, options).catch(() => {});
        await fetch(`${base}/status`, { mode: "no-cors", credentials: "include" }).catch(() => {});
        await fetch(`${base}/live`, { mode: "no-cors", credentials: "include" }).catch(() => {});
    }"""
    page.evaluate(attack, f"http://127.0.0.1:{pair.client_admin}")
    assert failed == ["mode", "status", "live"], "the browser keeps the answers from it"
    assert pair.client_status()["mode"] == "adaptive"
    frame = "(url) => { const made = document.createElement('iframe'); made.src = url; document.body.append(made); }"
    page.evaluate(frame, f"http://127.0.0.1:{pair.client_admin}/")
    page.wait_for_timeout(2000)
    assert all(frame.locator("#account").count() == 0 for frame in page.frames), "it is part of no other page"

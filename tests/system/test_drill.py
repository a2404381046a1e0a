"""A drill on a running client, and what the status says of it. Real processes."""

import json
import os
import shutil
import subprocess
import threading

import pytest

from loopback import Gate, Pair, Target, link_options, run_tandem, tandem_command

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def drill(pair: Pair, *words: str) -> tuple[int, str]:
    place = ("--admin", f"127.0.0.1:{pair.client_admin}")
    done = run_tandem("drill", *words, *place, environment=pair.environment)
    return done.returncode, done.stdout + done.stderr


def test_a_link_is_drilled_while_a_download_goes_on(pair: Pair, target: Target) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
    thread = threading.Thread(target=lambda: done.append(pair.curl(target.url("slow/400/50"))))
    done: list[object] = []
    thread.start()

    def link_b() -> dict[str, object]:
        return dict(pair.client_status()["links"][1])

    assert drill(pair, "b", "loss=40%", "delay=50ms") == (0, "b: loss 40%, delay 50 ms each way for 60 s\n")
    pair.wait(lambda: link_b()["state"] == "degraded" and float(str(link_b()["loss_down"] or 0)) > 0.2, "bad link b")
    assert link_b()["drill"] == "loss 40%, delay 50 ms each way"
    assert drill(pair, "b", "down")[0] == 0
    pair.wait(lambda: link_b()["state"] == "down", "link b down")
    assert pair.session_state() == "up"
    assert drill(pair, "b", "off") == (0, "b: the drill is over\n")
    pair.wait(lambda: link_b()["state"] in ("usable", "degraded"), "link b back")
    assert link_b()["drill"] is None
    assert drill(pair, "c", "down") == (2, "error: drill: there is no link 'c'\nhint: this client's links: a, b\n")
    assert drill(pair, "b", "loss=20")[0] == 2
    thread.join()
    assert len(done[0].stdout) == 400 * 65536  # type: ignore[attr-defined]


def test_a_speedtest_of_each_link_and_of_both(pair: Pair, gates: list[Gate]) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), *link_options(gates))
    assert drill(pair, "b", "rate=1Mbit/s", "for=10m")[0] == 0
    place = ("--admin", f"127.0.0.1:{pair.client_admin}")
    done = run_tandem("speedtest", "--json", *place, environment=pair.environment, limit=200)
    assert done.returncode == 0, done.stderr
    a, b, both = json.loads(done.stdout)
    assert (a["link"], b["link"], both["link"]) == ("a", "b", "all together")
    for direction in ("down_bps", "up_bps"):
        # A busy machine sees data late and in heaps: its own rate within a factor of two.
        assert 0 < b[direction] < 2e6, "its own rate, and nothing of the other link"
        assert a[direction] > 4e6
        assert both[direction] > 4e6
    assert pair.session_state() == "up"


def test_a_speedtest_says_which_link_is_down_and_ends_with_whoever_asked(pair: Pair, gates: list[Gate]) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), *link_options(gates))
    gates[1].is_cut = True
    place = ("--admin", f"127.0.0.1:{pair.client_admin}")
    done = run_tandem("speedtest", *place, environment=pair.environment, limit=200)
    assert done.returncode == 0, done.stderr
    down = next(line for line in done.stdout.splitlines() if line.startswith("b "))
    assert down.split()[1:3] == ["-", "-"]
    assert "it is down" in down
    asking = subprocess.Popen([*tandem_command(), "speedtest", *place], env=os.environ | pair.environment)
    pair.wait(lambda: pair.log("client").count("speedtest begins") == 2, "a second one")
    asking.kill()
    asking.wait(timeout=60)
    gates[0].is_cut = True
    pair.wait(lambda: pair.session_state() == "outage", "an outage")
    refused = run_tandem("speedtest", *place, environment=pair.environment, limit=200)
    assert refused.returncode == 2
    assert "no link works" in refused.stderr, "neither under way any more, nor begun"


def test_the_figures_of_a_link_are_true(pair: Pair, gates: list[Gate], target: Target) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), *link_options(gates), "--mode", "duplicate")
    gates[1].lost_of_100 = 15
    assert pair.curl(target.url("slow/100/100")).returncode == 0
    a, b = pair.client_status()["links"]
    assert 0.12 <= b["loss_down"] <= 0.18
    assert max(b["loss_up"], a["loss_up"], a["loss_down"]) < 0.02

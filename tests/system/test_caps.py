"""A link that has carried what it may: the other goes on alone. Real processes."""

import shutil
from pathlib import Path

import pytest

from loopback import Gate, Pair, Target

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

SIZE = 30_000_000


def test_a_link_carries_no_more_than_its_cap_and_what_was_on_its_way(
    pair: Pair, gates: list[Gate], target: Target, tmp_path: Path
) -> None:
    config = tmp_path / "tandem.toml"
    config.write_text(
        "".join(
            f'[[link]]\nname = "{name}"\nbind = "{host}"\nendpoint = "127.0.0.1:{gate.port}"\n{cap}\n'
            for name, host, gate, cap in zip(
                "ab", ("127.0.0.2", "127.0.0.3"), gates, ("", 'daily_cap = "1 MB"'), strict=True
            )
        )
    )
    pair.start_server()
    pair.start_client(pair.invite(), "--config", str(config), "--mode", "duplicate")
    done = pair.curl(target.url(f"bytes/{SIZE}"))
    assert done.stdout == Target.content(SIZE), done.stderr
    # What a link has carried is added up once a second.
    pair.wait(lambda: pair.client_status()["links"][0]["day_bytes"] > SIZE - 4_000_000, "what a has carried")
    b = pair.client_status()["links"][1]
    assert (b["state"], b["reason"]) == ("down", "its daily cap of 1 MB is used up")
    assert 1_000_000 <= b["day_bytes"] < 4_000_000
    assert "its daily cap of 1 MB is used up" in pair.log("client")

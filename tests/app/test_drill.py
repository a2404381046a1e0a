"""What a drill is, and what it does to a link."""

import asyncio

import pytest

from tandem.base.errors import UsageError
from tandem.client.client_links import ClientLinks
from tandem.client.drill import Drill, parse_drill
from tandem.client.usage import UsageBook
from tandem.config.config import LinkConfig
from tandem.config.invites import Invite
from tandem.impair.bad_link import BadLink
from tandem.impair.impairment import Impairment
from tandem_transport.driver import Link
from tandem_transport.wire.packets import OVERHEAD, transport_header

PACKET = transport_header(0, bytes(16), 0, 10, 1) + bytes(10 + OVERHEAD - len(transport_header(0, bytes(16), 0, 10, 1)))


def lone_link() -> Link:
    return Link("wifi", list, [("192.0.2.1", 8120)])


def client_links(*names: str) -> ClientLinks:
    invite = Invite(bytes(32), bytes(32), ("192.0.2.1:8120",), "laptop")
    return ClientLinks([LinkConfig(name=name, bind="127.0.0.1") for name in names], UsageBook(None), invite)


def test_the_words_of_a_drill() -> None:
    drill = parse_drill("wifi", ["loss=20%", "delay=80ms", "jitter=5ms", "rate=8Mbit/s", "for=2m"])
    expected = Drill(link="wifi", loss=0.2, delay=0.08, jitter=0.005, rate=1_000_000, duration=120)
    assert drill == expected
    assert str(drill) == "loss 20%, delay 80 ms each way, jitter 5 ms, rate 8 Mbit/s"
    assert parse_drill("wifi", ["down"]).impairment() == Impairment(loss=1.0)
    assert not parse_drill("wifi", ["off"]).is_on


@pytest.mark.parametrize(
    "word", ["loss=20", "loss=120%", "delay=80", "delay=1m", "for=2h", "for=0s", "speed=1", "up", "for=5s"]
)
def test_other_words_are_mistakes_that_say_what_is_accepted(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_drill("wifi", [word])
    assert "accepted: loss=20%" in caught.value.hint or "loss up to 100%" in caught.value.hint


async def test_a_drill_begins_is_replaced_and_ends_by_itself() -> None:
    links = client_links("wifi", "mobile")
    wifi, mobile = links
    assert links.begin_drill(Drill(link="wifi", is_down=True)) == "down"
    assert wifi.link.send is not None
    assert links.begin_drill(Drill(link="wifi", loss=0.5, duration=0.05)) == "loss 50%"
    for _ in range(1000):
        await asyncio.sleep(0.01 if wifi.drill else 0)
    assert wifi.drill is None
    assert wifi.link.send is None
    assert wifi.link.arrive is None
    with pytest.raises(UsageError, match="no link 'lan'") as caught:
        links.begin_drill(Drill(link="lan"))
    assert caught.value.hint == "this client's links: wifi, mobile"
    links.begin_drill(Drill(link="mobile", delay=0.1))
    links.end_drills()
    assert mobile.link.send is None


async def test_a_drill_of_a_bad_link_leaves_it_as_bad_as_it_was() -> None:
    links = client_links("wifi")
    link = links.all[0]
    BadLink(Impairment(delay=0.02), seed=1).attach(link)
    before = link.send, link.arrive
    with pytest.raises(UsageError, match="none is under way on wifi"):
        links.begin_drill(Drill(link="wifi", is_on=False))
    links.begin_drill(Drill(link="wifi", delay=0.03))
    got: list[float] = []
    loop = asyncio.get_running_loop()
    assert link.arrive is not None
    began = loop.time()
    link.arrive(PACKET, lambda _: got.append(loop.time() - began))
    for _ in range(1000):
        await asyncio.sleep(0 if got else 0.01)
    assert got[0] >= 0.049, "both delays"
    assert links.begin_drill(Drill(link="wifi", is_on=False)) == ""
    assert (link.send, link.arrive) == before


async def test_what_arrives_late_or_never() -> None:
    link = lone_link()
    got: list[bytes] = []
    BadLink(Impairment(loss=1.0), seed=1).attach(link)
    assert link.arrive is not None
    link.arrive(PACKET * 5, got.append)
    link = lone_link()
    BadLink(Impairment(delay=0.02), seed=1).attach(link)
    assert link.arrive is not None
    link.arrive(PACKET * 3, got.append)
    assert got == []
    for _ in range(1000):
        await asyncio.sleep(0.01 if len(got) < 3 else 0)
    assert got == [PACKET] * 3, "each packet that the kernel has merged on its own"

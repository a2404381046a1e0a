"""Packet sizes: what a path carries is found out, and what was cut for a wider one is split for a narrower one."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from simnet import Network, Traffic, mbit
from tandem.impair.impairment import Impairment
from tandem_transport.parameters import BASE_DATAGRAM_SIZE, DATAGRAM_SIZES, MTU_PROBES, MTU_RETRY
from tandem_transport.path.mtu import MtuDiscovery
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.wire.frames import Mode

LINK = Impairment(delay=0.020, rate=mbit(20), mtu=1472)


def sizes(network: Network) -> list[int]:
    """Of the server's paths."""
    return [path.datagram_size for path in network.server.connection.stats(now=network.now).paths]


def probe(mtu: MtuDiscovery, number: int) -> SentPacket:
    size = mtu.due(now=0.0)
    assert size is not None
    packet = SentPacket(number, size, 0.0, [])
    mtu.on_probe_sent(packet)
    return packet


@pytest.mark.sampled
@pytest.mark.parametrize(("mtu", "found"), [(1472, 1472), (1452, 1452), (1400, 1392), (1280, 1252), (1200, 1200)])
def test_the_size_that_a_path_carries_is_found(mtu: int, found: int) -> None:
    link = replace(LINK, mtu=mtu)
    network = Network(link, link).connect()
    Traffic(network).download(4_000_000).finish()
    assert sizes(network) == [found, found]


def test_loss_delays_the_search_and_does_not_mislead_it() -> None:
    link = replace(LINK, loss=0.3)
    network = Network(link, link, seed=3).connect()
    Traffic(network).download(3_200_000).finish()
    assert all(size >= 1392 for size in sizes(network))


def test_probes_are_no_sign_of_congestion() -> None:
    link = replace(LINK, mtu=1200, queue=2.0)
    network = Network(link, link, mode=Mode.ADAPTIVE).connect()
    Traffic(network).download(2_000_000).finish()
    paths = network.server.connection.stats(now=network.now).paths
    assert all(path.loss_sent == 0 for path in paths)


@pytest.mark.parametrize("mtu", [1252, 1300, 1392, 1400, 1464])
def test_probes_are_no_loss_for_either_end(mtu: int) -> None:
    network = Network(replace(LINK, mtu=mtu), replace(LINK, mtu=mtu, rate=mbit(5)), mode=Mode.ADAPTIVE).connect()
    worst = 0.0
    echo = Traffic(network).echo(count=30)
    for _ in range(30):
        network.run(0.1)
        for peer in (network.client, network.server):
            for path in peer.connection.stats(now=network.now).paths:
                worst = max(worst, path.loss_sent or 0.0, path.loss_received or 0.0)
    echo.finish()
    assert worst == 0


def test_a_probe_that_its_companion_overtakes_is_counted_once() -> None:
    network = Network(replace(LINK, packet_jitter=0.005, mtu=1300), seed=4).connect()
    Traffic(network).download(300_000).finish()
    network.run(1.0)
    for peer in (network.client, network.server):
        assert peer.connection.stats(now=network.now).paths[0].loss_received == pytest.approx(0, abs=0.01)


@pytest.mark.sampled
@pytest.mark.parametrize("mode", [Mode.ADAPTIVE, Mode.DUPLICATE])
def test_a_route_becomes_narrower_in_mid_transfer(mode: Mode) -> None:
    network = Network(LINK, LINK, mode=mode).connect()
    download = Traffic(network).download(4_000_000)
    network.run(0.7)
    assert sizes(network) == [1472, 1472]
    for direction in (*network.down, *network.up):
        direction.impairment = replace(direction.impairment, mtu=1300)
    download.finish(limit=20)
    assert all(size <= 1252 for size in sizes(network))


def test_data_cut_for_a_wide_path_goes_on_over_a_narrow_one() -> None:
    network = Network(LINK, replace(LINK, mtu=1200), mode=Mode.ADAPTIVE)
    network.cut(1, begin=0, end=1.5)
    network.connect()
    download = Traffic(network).download(5_000_000)
    network.run(1.4)
    assert sizes(network)[0] == 1472
    network.cut(0, begin=0, end=1e9)
    download.finish(limit=30)


def test_a_size_is_ruled_out_after_three_probes() -> None:
    mtu = MtuDiscovery()
    for number in range(MTU_PROBES):
        assert mtu.due(now=0.0) == DATAGRAM_SIZES[0]
        mtu.on_lost(probe(mtu, number), now=0.0)
    assert mtu.due(now=0.0) == DATAGRAM_SIZES[1]
    packet = probe(mtu, 10)
    assert mtu.due(now=0.0) is None, "one probe at a time"
    mtu.on_acked(packet, now=0.0)
    assert mtu.size == DATAGRAM_SIZES[1]
    assert mtu.due(now=MTU_RETRY - 1) is None
    assert mtu.due(now=MTU_RETRY + 1) == DATAGRAM_SIZES[0]


def found(size: int) -> MtuDiscovery:
    """A path that is known to take so much."""
    mtu = MtuDiscovery()
    number = 0
    while mtu.size != size:
        packet = probe(mtu, number)
        number += 1
        if packet.size <= size:
            mtu.on_acked(packet, now=0.0)
        else:
            mtu.on_lost(packet, now=0.0)
    return mtu


def lose(mtu: MtuDiscovery, count: int, *, size: int = 1472, sent_at: float = 1.0) -> None:
    for number in range(1000, 1000 + count):
        mtu.on_lost(SentPacket(number, size, sent_at, []), now=sent_at)


def check(mtu: MtuDiscovery, *, sent_at: float) -> list[SentPacket]:
    """The probes of the check that is due."""
    packets = [SentPacket(2000 + number, size, sent_at, []) for number, size in enumerate(mtu.due_rungs())]
    mtu.on_check_sent(packets, now=sent_at)
    return packets


def test_a_path_becomes_as_narrow_as_the_largest_probe_that_arrives() -> None:
    mtu = found(1472)
    lose(mtu, 4)
    mtu.suspect(0, 0.0, now=2.0)
    packets = check(mtu, sent_at=2.0)
    for packet in packets:
        assert mtu.is_checking
        (mtu.on_acked if packet.size <= 1000 else mtu.on_lost)(packet, now=2.1)
    assert mtu.size == 972
    assert not mtu.is_checking
    assert mtu.due(now=2.1) == 1452, "what lies between is tried at once"


def test_one_large_packet_that_arrives_ends_a_check() -> None:
    mtu = found(1472)
    lose(mtu, 40)
    mtu.suspect(0, 0.0, now=2.0)
    *packets, last = check(mtu, sent_at=2.0)
    assert packets[0].size == last.size == 1472
    for packet in packets:
        (mtu.on_acked if packet.size <= 1000 else mtu.on_lost)(packet, now=2.1)
    mtu.on_acked(last, now=2.1)
    assert mtu.size == 1472
    assert not mtu.is_checking
    lose(mtu, 5, sent_at=3.0)
    mtu.suspect(0, 0.0, now=3.0)
    assert not mtu.is_checking, "on a path that loses much a few more losses are no reason"
    lose(mtu, 1, sent_at=3.0)
    mtu.suspect(0, 0.0, now=3.0)
    assert mtu.is_checking


def test_a_path_that_loses_packets_is_asked_more_often() -> None:
    mtu = found(1472)
    lose(mtu, 40)
    mtu.suspect(0, 0.35, now=2.0)
    probes = 0
    while mtu.size == 1472:
        for packet in check(mtu, sent_at=2.0 + probes):
            probes += packet.size == 1472
            (mtu.on_acked if packet.size <= 1000 else mtu.on_lost)(packet, now=2.5 + probes)
    assert probes == 9
    assert mtu.size == 972


def test_a_check_of_which_nothing_arrives_is_repeated() -> None:
    mtu = found(1472)
    lose(mtu, 40)
    mtu.suspect(0, 0.0, now=2.0)
    for packet in check(mtu, sent_at=2.0):
        mtu.on_lost(packet, now=5.0)
    assert mtu.size == 1472
    mtu.suspect(0, 0.0, now=5.0)
    assert mtu.is_checking


def test_losses_before_a_large_packet_that_arrived_say_nothing() -> None:
    mtu = found(1472)
    mtu.on_acked(SentPacket(50, 1472, 1.5, []), now=2.0)
    lose(mtu, 40, sent_at=1.0)
    lose(mtu, 40, size=500, sent_at=3.0)
    mtu.suspect(mtu.count_suspects([SentPacket(60, 1472, 1.0, []), SentPacket(61, 90, 2.0, [])]), 0.0, now=3.0)
    assert not mtu.is_checking


def test_a_search_begins_anew_soon_after_a_path_has_become_narrower() -> None:
    mtu = found(1252)
    lose(mtu, 6, size=1252)
    mtu.suspect(0, 0.0, now=2.0)
    for packet in check(mtu, sent_at=2.0):
        (mtu.on_acked if packet.size <= 1200 else mtu.on_lost)(packet, now=2.1)
    assert mtu.size == BASE_DATAGRAM_SIZE
    now, waits = 2.1, list[float]()
    for _ in range(7):
        now += next(wait for wait in range(1000) if mtu.due(now=now + wait))
        waits.append(now)
        while (size := mtu.due(now=now)) is not None:
            packet = SentPacket(int(now), size, now, [])
            mtu.on_probe_sent(packet)
            mtu.on_lost(packet, now=now)
    assert [round(after - before) for before, after in pairwise(waits)] == [30, 60, 120, 240, 480, 600]


def test_a_probe_on_its_way_into_a_black_hole() -> None:
    mtu = found(1452)
    size = mtu.due(now=MTU_RETRY + 1)
    assert size == DATAGRAM_SIZES[0]
    on_its_way = SentPacket(20, size, 700.0, [])
    mtu.on_probe_sent(on_its_way)
    lose(mtu, 6, size=1452, sent_at=701.0)
    mtu.suspect(0, 0.0, now=702.0)
    for packet in check(mtu, sent_at=702.0):
        (mtu.on_acked if packet.size <= 1200 else mtu.on_lost)(packet, now=702.1)
    assert mtu.size == BASE_DATAGRAM_SIZE
    mtu.on_acked(on_its_way, now=703.0)
    assert mtu.size == BASE_DATAGRAM_SIZE, "too late: the route is another one"


# --- routes that become narrower ---


@pytest.mark.sampled
@pytest.mark.parametrize("kind", ["down", "up"])
@pytest.mark.parametrize("narrow", [(0, 1), (0,)])
@pytest.mark.parametrize(("before", "after"), [(1472, 1272), (1272, 972), (1472, 548)])
def test_a_black_hole_is_left_before_anybody_notices(
    before: int, after: int, narrow: tuple[int, ...], kind: str
) -> None:
    link = replace(LINK, mtu=before, rate=mbit(10))
    network = Network(link, link, mode=Mode.ADAPTIVE).connect()
    traffic = Traffic(network)
    network.run(0.5)
    transfer = (traffic.download if kind == "down" else traffic.upload)(4_000_000)
    network.run(0.7)  # start-up has a queue of its own
    echo = traffic.echo(count=36, gap=0.05)
    for number in narrow:
        network.change(number, after=0.3, mtu=after)
    network.run(1.8)
    assert transfer.longest_gap(0.9, 2.5) < 0.8
    assert echo.finish().quantile(0.99) < 4 * 0.040
    peer = network.server if kind == "down" else network.client
    paths = peer.connection.stats(now=network.now).paths
    assert all((path.datagram_size <= after) == (path.path_id in narrow) for path in paths)


def bursts(network: Network) -> None:
    for number in range(10):
        for link in (0, 1):
            network.cut(link, begin=0.5 + 0.4 * number, end=0.55 + 0.4 * number)


def blackout(network: Network) -> None:
    for link in (0, 1):
        network.cut(link, begin=1.0, end=4.0)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("loss", "trouble"),
    [(0.2, None), (0.35, None), (0.0, bursts), (0.0, blackout)],
    ids=["20%", "35%", "bursts", "blackout"],
)
def test_what_is_no_black_hole(loss: float, trouble: Callable[[Network], None] | None) -> None:
    link = replace(LINK, loss=loss, rate=mbit(4))
    network = Network(link, link, mode=Mode.ADAPTIVE, seed=5).connect()
    traffic = Traffic(network)
    traffic.download(2_000_000)
    traffic.upload(1_000_000)
    traffic.echo(count=60)
    if trouble is not None:
        trouble(network)
    network.run(2.0)
    known = sizes(network)
    network.run(4.0)
    assert all(size >= before > BASE_DATAGRAM_SIZE for size, before in zip(sizes(network), known, strict=True))


# --- paths that take less than 1200 bytes ---


@pytest.mark.parametrize("mode", [Mode.DUPLICATE, Mode.ADAPTIVE])
@pytest.mark.parametrize("mtu", [548, 800, 1000])
def test_narrow_links_carry_everything(mtu: int, mode: Mode) -> None:
    link = replace(LINK, mtu=mtu)
    network = Network(link, link, mode=mode).connect()
    traffic = Traffic(network)
    download, echo = traffic.download(200_000), traffic.echo(count=20)
    download.finish(limit=2)
    traffic.upload(200_000).finish(limit=2)
    assert max(echo.finish().times) < 0.5
    assert all(548 <= size <= mtu for size in sizes(network))


@pytest.mark.sampled
@pytest.mark.parametrize("mode", [Mode.DUPLICATE, Mode.ADAPTIVE])
@pytest.mark.parametrize("mtu", [548, 1000])
def test_a_narrow_link_does_not_make_the_packets_of_a_wide_one_small(mtu: int, mode: Mode) -> None:
    link = replace(LINK, rate=mbit(10))
    network = Network(link, replace(link, mtu=mtu), mode=mode).connect()
    traffic = Traffic(network)
    network.run(0.5)
    download, echo = traffic.download(1_200_000), traffic.echo(count=20)
    assert download.finish(limit=10) > 0.75 * link.rate
    assert max(echo.finish().times) < 0.5
    assert network.bytes_to[network.addresses[0]] / network.down[0].sent > 1000
    assert sizes(network)[0] == 1472
    assert network.server.connection.datagram_room > 1300

"""Packet sizes: what a path carries is found out, and what was cut for a wider one is split for a narrower one."""

from dataclasses import replace

import pytest

from simnet import Network, Traffic, mbit
from tandem.impairment import Impairment
from tandem_transport.frames import Mode
from tandem_transport.mtu import MtuDiscovery
from tandem_transport.parameters import BASE_DATAGRAM_SIZE, DATAGRAM_SIZES, MTU_PROBES, MTU_RETRY
from tandem_transport.sent_packet import SentPacket

LINK = Impairment(delay=0.020, rate=mbit(50), mtu=1472)


def sizes(network: Network) -> list[int]:
    """Of the server's paths."""
    return [path.datagram_size for path in network.server.connection.stats(now=network.now).paths]


def probe(mtu: MtuDiscovery, number: int) -> SentPacket:
    size = mtu.due(now=0.0)
    assert size is not None
    packet = SentPacket(number, size, 0.0, [])
    mtu.on_probe_sent(packet)
    return packet


@pytest.mark.parametrize(("mtu", "found"), [(1472, 1472), (1452, 1452), (1400, 1392), (1280, 1252), (1200, 1200)])
def test_the_size_that_a_path_carries_is_found(mtu: int, found: int) -> None:
    link = replace(LINK, mtu=mtu)
    network = Network(link, link).connect()
    Traffic(network).download(10_000_000).finish()
    assert sizes(network) == [found, found]


def test_loss_delays_the_search_and_does_not_mislead_it() -> None:
    link = replace(LINK, loss=0.3)
    network = Network(link, link, seed=3).connect()
    Traffic(network).download(8_000_000).finish()
    assert all(size >= 1392 for size in sizes(network))


def test_probes_are_no_sign_of_congestion() -> None:
    link = replace(LINK, mtu=1200, queue=2.0)
    network = Network(link, link, mode=Mode.ADAPTIVE).connect()
    Traffic(network).download(5_000_000).finish()
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


@pytest.mark.parametrize("mode", [Mode.DUPLICATE, Mode.ADAPTIVE])
def test_a_route_becomes_narrower_in_mid_transfer(mode: Mode) -> None:
    network = Network(LINK, LINK, mode=mode).connect()
    download = Traffic(network).download(30_000_000)
    network.run(1.0)
    assert sizes(network) == [1472, 1472]
    for direction in (*network.down, *network.up):
        direction.impairment = replace(direction.impairment, mtu=1300)
    download.finish(limit=20)
    assert all(size <= 1252 for size in sizes(network))


def test_data_cut_for_a_wide_path_goes_on_over_a_narrow_one() -> None:
    network = Network(LINK, replace(LINK, mtu=1200), mode=Mode.ADAPTIVE)
    network.cut(1, begin=0, end=1.5)
    network.connect()
    download = Traffic(network).download(20_000_000)
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
    assert mtu.on_acked(packet, now=0.0)
    assert mtu.size == DATAGRAM_SIZES[1]
    assert mtu.due(now=MTU_RETRY - 1) is None
    assert mtu.due(now=MTU_RETRY + 1) == DATAGRAM_SIZES[0]


def test_lost_packets_alone_are_no_black_hole() -> None:
    mtu = MtuDiscovery()
    mtu.on_acked(probe(mtu, 0), now=0.0)
    for number in range(1, 50):
        mtu.on_lost(SentPacket(number, mtu.size, 1.0, []), now=2.0)
    assert not mtu.on_acked(SentPacket(60, 60, 0.5, []), now=2.0), "sent before the losses began"
    assert not mtu.on_acked(SentPacket(61, 60, 1.5, []), now=2.0)
    assert not mtu.on_acked(SentPacket(62, 60, 1.6, []), now=2.0)
    assert mtu.on_acked(SentPacket(63, 60, 1.7, []), now=2.0), "the third proof"
    assert mtu.size == BASE_DATAGRAM_SIZE


def test_a_probe_on_its_way_into_a_black_hole() -> None:
    mtu = MtuDiscovery()
    mtu.on_acked(probe(mtu, 0), now=0.0)
    again = mtu.due(now=MTU_RETRY + 1)
    assert again is None, "there is nothing larger"
    mtu = MtuDiscovery()
    for number in range(MTU_PROBES):
        mtu.on_lost(probe(mtu, number), now=0.0)
    mtu.on_acked(probe(mtu, 10), now=0.0)
    size = mtu.due(now=MTU_RETRY + 1)
    assert size == DATAGRAM_SIZES[0]
    on_its_way = SentPacket(20, size, 700.0, [])
    mtu.on_probe_sent(on_its_way)
    for number in range(21, 30):
        mtu.on_lost(SentPacket(number, mtu.size, 701.0, []), now=702.0)
    assert [mtu.on_acked(SentPacket(number, 60, 701.5, []), now=702.0) for number in (31, 32, 33)] == [
        False,
        False,
        True,
    ]
    assert not mtu.on_acked(on_its_way, now=703.0), "too late: the route is another one"
    assert mtu.size == BASE_DATAGRAM_SIZE

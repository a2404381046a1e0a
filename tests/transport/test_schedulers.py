"""Copies of interactive data, and what counts as interactive."""

from collections.abc import Sequence
from typing import Any

import pytest

from simnet import Network, Traffic, mbit
from simnet.paths import lone_path
from tandem.impair.impairment import Impairment
from tandem_transport.parameters import (
    COPY_BUDGET,
    COPY_SPACING,
    INTERACTIVE_BACKLOG,
    INTERACTIVE_FIRST,
    INTERACTIVE_LEVEL,
    INTERACTIVE_RATE,
    MAX_COPIES,
    PACKET_THRESHOLD,
)
from tandem_transport.path.path import Path
from tandem_transport.recovery.acknowledgement import ReceivedPackets
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.recovery.reordering import Reordering
from tandem_transport.recovery.rtt import RttEstimator
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.sending.control import ControlQueue
from tandem_transport.sending.copies import CopyPlanner
from tandem_transport.sending.outbox import Outbox
from tandem_transport.streams.send import SendStream
from tandem_transport.streams.table import Streams
from tandem_transport.wire.frames import AckFrame, Mode, PathPreference, PathUse
from tandem_transport.wire.transport_parameters import TransportParameters

LINK = Impairment(delay=0.020, rate=mbit(20))


def make_path(path_id: int, *, rtt: float = 0.040, lost_of_ten: int = 0) -> Path:
    path = lone_path(path_id)
    path.network.rtt.on_ack(0, rtt, now=rtt)
    for _ in range(100):
        path.network.loss_rate.on_acked(10 - lost_of_ten)
        path.network.loss_rate.on_lost(lost_of_ten)
    return path


def copies_of(chunk: Chunk, paths: Sequence[Path]) -> list[int]:
    """Path ids in the order in which its copies become due."""
    planner, order = CopyPlanner(max_ack_delay=0.005), list[int]()
    planner.plan(chunk, paths, now=0.0)
    for now in (0.0, COPY_SPACING, 2 * COPY_SPACING):
        planner.handle_timeout(paths, now=now)
        for path in paths:
            taken: list[Chunk] = []
            planner.take(path, taken, 1000)
            order += [path.path_id] * len(taken)
    return order


def test_one_copy_on_each_path_where_little_is_lost() -> None:
    assert copies_of(Chunk(b"key press"), [make_path(0), make_path(1)]) == [1]


def test_more_copies_where_more_is_lost_spread_over_paths_and_time() -> None:
    paths = [make_path(0, lost_of_ten=2), make_path(1, lost_of_ten=2)]
    assert copies_of(Chunk(b"key press"), paths) == [1, 0, 1, 0][: MAX_COPIES - 1]


def test_a_copy_that_comes_late_does_not_count() -> None:
    fast, slow = make_path(0), make_path(1, rtt=0.160)
    assert copies_of(Chunk(b"key press"), [fast, slow]) == [1, 0], "the fast path alone has to be sure enough"


def test_what_was_acknowledged_is_not_copied() -> None:
    chunk, paths, planner = Chunk(b"key press"), [make_path(0), make_path(1)], CopyPlanner(max_ack_delay=0.005)
    planner.plan(chunk, paths, now=0.0)
    assert planner.has_due(paths[1])
    chunk.is_done = True
    assert not planner.has_due(paths[1])
    assert planner.next_timeout(paths) is None


def test_nobody_answers_and_the_plan_begins_anew() -> None:
    chunk, paths, planner = Chunk(b"key press"), [make_path(0), make_path(1)], CopyPlanner(max_ack_delay=0.005)
    planner.plan(chunk, paths, now=0.0)
    taken: list[Chunk] = []
    planner.take(paths[1], taken, 1000)
    again_at = planner.next_timeout(paths)
    assert again_at == pytest.approx(paths[0].network.rtt.probe_timeout(0.005))
    assert again_at is not None
    planner.handle_timeout(paths, now=again_at)
    assert planner.has_due(paths[0])
    assert planner.has_due(paths[1])


def test_copies_have_a_budget() -> None:
    paths, planner = [make_path(0), make_path(1)], CopyPlanner(max_ack_delay=0.005)
    for number in range(1000):
        planner.plan(Chunk(bytes(1000) + bytes([number % 256])), paths, now=0.0)
    copied, taken = 0, list[Chunk]()
    while planner.has_due(paths[1]):
        taken.clear()
        planner.take(paths[1], taken, 1500)
        copied += sum(len(chunk.frame) for chunk in taken)
    assert COPY_BUDGET <= copied <= COPY_BUDGET + 2000


def test_what_is_interactive() -> None:
    stream = SendStream(0, 1 << 30)

    def cut(size: int, now: float) -> None:
        stream.write(bytes(size), end_stream=False)
        while stream.unsent:
            stream.cut(1200, 1 << 30, is_interactive=stream.is_interactive(now=now))

    stream.write(bytes(1 << 20), end_stream=False)
    assert stream.is_interactive(now=0.0), "a young stream, whatever waits"
    while stream.offset < INTERACTIVE_FIRST:
        stream.cut(1200, 1 << 30, is_interactive=True)
    assert not stream.is_interactive(now=0.0), "a backlog"
    while stream.unsent > INTERACTIVE_BACKLOG:
        stream.cut(1200, 1 << 30, is_interactive=False)
    assert not stream.is_interactive(now=0.1), "the end of a download"
    later = 0.1 + (1 << 20) / INTERACTIVE_RATE
    assert stream.is_interactive(now=later), "little to say, and quiet since"
    cut(INTERACTIVE_LEVEL, later)
    assert not stream.is_interactive(now=later)


# --- whole sessions ---


def test_interactive_data_goes_before_bulk() -> None:
    network = Network(LINK, mode=Mode.ADAPTIVE).connect()
    traffic = Traffic(network)
    for _ in range(20):
        traffic.download(2_000_000)
    network.run(1.5)
    echo = traffic.echo(count=30, gap=0.05).finish()
    assert echo.quantile(0.95) <= 0.065


@pytest.mark.sampled
@pytest.mark.parametrize("mode", [Mode.DUPLICATE, Mode.ADAPTIVE])
def test_downloads_are_fair_among_each_other(mode: Mode) -> None:
    network = Network(LINK, LINK, mode=mode).connect()
    traffic = Traffic(network)
    downloads = [traffic.download(4_000_000) for _ in range(6)]
    network.run(3)
    received = sorted(download.received for download in downloads)
    assert received[0] >= 0.7 * received[-1] > 0


def test_thirty_downloads_are_not_thirty_key_presses() -> None:
    link = Impairment(delay=0.030, rate=mbit(20), loss=0.05)
    network = Network(link, link, mode=Mode.ADAPTIVE).connect()
    traffic = Traffic(network)
    downloads = [traffic.download(200_000) for _ in range(30)]
    began = network.now
    network.run_until(lambda: all(download.is_done for download in downloads), limit=10)
    goodput = 6_000_000 / (network.now - began)
    assert goodput >= 0.6 * 2 * mbit(20) * 0.95
    assert network.bytes_to_client <= 1.35 * 6_000_000


def test_a_backup_carries_nothing_while_another_link_works() -> None:
    network = Network(LINK, LINK, mode=Mode.ADAPTIVE).connect()
    preferences = (PathPreference(1, PathUse.BACKUP, 0),)
    network.client.connection.set_policy(Mode.ADAPTIVE, preferences)
    network.run(0.2)
    before = dict(network.bytes_to)
    Traffic(network).download(800_000).finish()
    assert network.bytes_to["client-link-1"] - before["client-link-1"] < 20_000
    network.cut(0, begin=0, end=1e9)
    Traffic(network).download(800_000).finish(limit=10)


@pytest.mark.sampled
@pytest.mark.parametrize("mode", [Mode.DUPLICATE, Mode.ADAPTIVE])
@pytest.mark.parametrize("dear", [0, 1], ids=["the first link", "the second link"])
def test_a_metered_link_carries_copies_of_key_presses_and_no_downloads(mode: Mode, dear: int) -> None:
    link = Impairment(delay=0.020, rate=mbit(20), loss=0.10)
    network = Network(link, link, mode=mode).connect()
    network.client.connection.set_policy(mode, (PathPreference(dear, PathUse.METERED, 0),))
    network.run(0.2)
    traffic, place = Traffic(network), f"client-link-{dear}"
    before = dict(network.bytes_to)
    traffic.download(1_200_000).finish()
    assert network.bytes_to[place] - before[place] < 200_000, "the first moments of a download, and acknowledgements"
    echo = traffic.echo(count=100, gap=0.05).finish()
    assert echo.quantile(0.95) < 0.060, "the copy on the metered link saves a key press"
    network.cut(1 - dear, begin=0, end=1e9)
    before = dict(network.bytes_to)
    traffic.download(400_000).finish(limit=20)
    assert network.bytes_to[place] - before[place] > 400_000, "needed, it carries all"


def test_a_backup_is_asked_seldom_also_while_streams_are_open() -> None:
    network = Network(LINK, LINK, mode=Mode.ADAPTIVE).connect()
    network.client.connection.set_policy(Mode.ADAPTIVE, (PathPreference(1, PathUse.BACKUP, 0),))
    network.run(1)
    Traffic(network).echo(count=1200, gap=0.05)
    before = dict(network.bytes_to)
    network.run(60)
    assert network.bytes_to["client-link-1"] - before["client-link-1"] < 2500, "a full packet and a few pings"


def test_a_link_with_a_rate_cap_keeps_to_it() -> None:
    network = Network(LINK, mode=Mode.ADAPTIVE).connect()
    network.client.connection.set_policy(Mode.ADAPTIVE, (PathPreference(0, PathUse.AVAILABLE, 500_000),))
    network.run(0.2)
    download = Traffic(network).download(4_000_000)
    network.run(4)
    assert 0.7 * 500_000 <= download.goodput(1, 4) <= 500_000


# --- spurious losses ---


def acknowledging(numbers: Sequence[int]) -> AckFrame:
    received = ReceivedPackets(0.0)
    for number in numbers:
        received.record(number, 100, now=1.0)
    frame = received.ack_frame(0, now=1.0)
    assert frame is not None
    return frame


def look(reordering: Reordering, ack: AckFrame, *, now: float = 1.0) -> None:
    rtt = RttEstimator()
    rtt.on_ack(0, 0.040, now=now)
    for _ in range(8):
        reordering.on_ack(ack, 1, rtt, now=now)


def test_a_lost_packet_that_arrives_makes_the_path_patient() -> None:
    reordering = Reordering()
    reordering.on_lost(5, 3)
    reordering.on_lost(7, 3)
    look(reordering, acknowledging([*range(5), 6, 8, 9]))
    assert reordering.spurious == 0
    look(reordering, acknowledging([*range(7), 8, 9]))
    assert reordering.spurious == 1
    assert reordering.packet_threshold == 2 * PACKET_THRESHOLD
    assert reordering.window > 0


def test_patience_ends() -> None:
    reordering = Reordering()
    reordering.on_lost(5, 3)
    look(reordering, acknowledging(range(10)))
    reordering.on_lost(20, 3)
    look(reordering, acknowledging([*range(20), 21]), now=100.0)
    assert reordering.packet_threshold == PACKET_THRESHOLD


def test_packets_that_no_ack_can_tell_of_are_forgotten() -> None:
    reordering: Any = Reordering()
    reordering.on_lost(5, 3)
    look(reordering, acknowledging(range(10, 20)))
    look(reordering, acknowledging(range(20)))
    assert reordering.spurious == 0


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_lost_data_goes_again_in_the_order_of_its_first_sending(order: tuple[int, ...]) -> None:
    """A far path finds its losses later, and what the receiver waits for is among them."""
    parameters, control = TransportParameters(), ControlQueue()
    streams = Streams(
        is_client=True, local=parameters, remote=parameters, send_control=control.add, emit=lambda _: None
    )
    outbox, paths = Outbox(control, streams), [make_path(0), make_path(1, rtt=0.4)]
    outbox.note_blocked(paths)
    packets = [SentPacket(number, 1200, float(number), [Chunk(bytes([number]))]) for number in range(4)]
    for packet in packets:
        outbox.on_sent(packet, paths[packet.number % 2])
    for number in order:
        outbox.on_lost(packets[number], paths[number % 2], now=10.0)
    chunks: list[Chunk] = []
    outbox.take_waiting(outbox.lost, chunks, 1000, 1000)
    assert [chunk.frame[0] for chunk in chunks] == [0, 1, 2, 3]

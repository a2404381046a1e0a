"""Where UDP is blocked: when a link uses TLS, how packets stand in a byte stream, what a path does on a full one."""

import asyncio
import hashlib
import socket
import ssl
import subprocess
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from one_path import client_path, prove, server_path
from tandem_transport.driver.detour import Detour
from tandem_transport.driver.fallback import (
    ASK_AFTER,
    CONNECT_AGAIN,
    CONNECT_AGAIN_MAX,
    SILENT_AFTER,
    Fallback,
    Transport,
)
from tandem_transport.driver.framing import FrameReader, framed
from tandem_transport.driver.link import Link, LocalAddress
from tandem_transport.driver.names import Names
from tandem_transport.driver.tls import MAX_WAITING, TlsPipe, client_context
from tandem_transport.parameters import MAX_FRAME_SIZE
from tandem_transport.path.carrier import Carrier

# --- when ---


def test_tls_is_tried_after_five_seconds_of_silence() -> None:
    fallback = Fallback(Transport.AUTO)
    assert not fallback.should_connect(silence=SILENT_AFTER - 0.1, now=10.0)
    assert fallback.should_connect(silence=SILENT_AFTER, now=10.0)
    fallback.on_connected(now=10.0)
    assert fallback.is_in_use
    assert not fallback.should_connect(silence=100.0, now=11.0)


def test_one_transport_alone_is_never_left() -> None:
    assert not Fallback(Transport.UDP).should_connect(silence=1e6, now=1e6)
    tls = Fallback(Transport.TLS)
    assert tls.should_connect(silence=0.0, now=0.0)
    tls.on_connected(now=0.0)
    assert not tls.is_question_due(now=1e6)


class Spoken:
    """A connection whose other end says these things, and then hangs up."""

    def __init__(self, *said: bytes) -> None:
        self._said = list(said)
        self.on_room: object = None
        self.is_closed = False

    async def read(self) -> bytes:
        return self._said.pop(0) if self._said else b""

    def close(self) -> None:
        self.is_closed = True


async def heard(pipe: Any) -> list[list[bytes]]:
    """What a link gets of what it is told through TLS, until the other end hangs up."""
    batches: list[list[bytes]] = []
    ended = asyncio.Event()
    detour = Detour("a", [("127.0.0.1", 443)], Transport.AUTO, Names())
    detour.use(pipe, ("127.0.0.1", 443), lambda batch, _: batches.append(list(batch)), ended.set)
    async with asyncio.timeout(30):
        await ended.wait()
    return batches


async def test_what_is_no_datagram_is_no_answer_of_the_server() -> None:
    assert await heard(Spoken(b"HTTP/1.1 400 Bad Request\r\n")) == []
    whole = framed([b"one", b"another"])
    assert await heard(Spoken(whole[:3], whole[3:])) == [[b"one", b"another"]]


def test_failed_attempts_become_rarer() -> None:
    fallback, now, waits = Fallback(Transport.TLS), 0.0, list[float]()
    for _ in range(8):
        fallback.on_failed(now=now)
        began = now
        while not fallback.should_connect(silence=0.0, now=now):
            now += 0.5
        waits.append(now - began)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (CONNECT_AGAIN, CONNECT_AGAIN_MAX)


def test_udp_is_asked_each_minute_and_an_answer_soon_after_brings_the_link_back() -> None:
    fallback = Fallback(Transport.AUTO)
    fallback.on_connected(now=0.0)
    due = [now for now in range(200) if fallback.is_question_due(now=float(now))]
    assert due == [60, 120, 180]
    assert fallback.is_answer(now=181.0)
    assert not fallback.is_answer(now=190.0), "a packet that was late"
    fallback.on_returned(now=181.0)
    assert not fallback.is_in_use


def test_nothing_that_comes_unasked_is_an_answer() -> None:
    fallback = Fallback(Transport.AUTO)
    fallback.on_connected(now=0.0)
    assert not fallback.is_answer(now=1.0)


def test_udp_that_answers_questions_but_carries_nothing_is_asked_more_and_more_rarely() -> None:
    fallback, now, gaps = Fallback(Transport.AUTO), 0.0, list[float]()
    for _ in range(4):
        fallback.on_connected(now=now)
        began = now
        while not fallback.is_question_due(now=now):
            now += 1.0
        gaps.append(now - began)
        fallback.on_returned(now=now)
        now += SILENT_AFTER
    assert gaps == [ASK_AFTER, 2 * ASK_AFTER, 4 * ASK_AFTER, 8 * ASK_AFTER]


def test_a_connection_that_ends_is_made_anew_at_once_but_not_on_another_network() -> None:
    fallback = Fallback(Transport.AUTO)
    fallback.on_connected(now=0.0)
    fallback.on_lost(now=100.0)
    assert fallback.should_connect(silence=0.0, now=100.0)
    fallback.on_failed(now=100.0)
    assert not fallback.should_connect(silence=0.0, now=200.0), "UDP has its turn"
    fallback.on_connected(now=300.0)
    fallback.on_lost(is_same_network=False, now=400.0)
    assert not fallback.should_connect(silence=0.0, now=400.0)


def test_a_connection_that_ends_at_once_is_not_made_again_and_again() -> None:
    fallback = Fallback(Transport.TLS)
    fallback.on_connected(now=0.0)
    fallback.on_lost(now=100.0)
    assert fallback.should_connect(silence=0.0, now=100.0)
    fallback.on_connected(now=100.0)
    fallback.on_lost(now=100.5)
    assert not fallback.should_connect(silence=0.0, now=100.6)


# --- frames ---


def test_datagrams_come_out_as_they_went_in_however_the_stream_is_cut() -> None:
    random = Random(1)
    sent = [random.randbytes(random.randint(1, MAX_FRAME_SIZE)) for _ in range(50)]
    stream, reader, got = framed(sent), FrameReader(), list[bytes]()
    while stream:
        size = random.randint(1, 3000)
        got += reader.datagrams(stream[:size])
        stream = stream[size:]
    assert got == sent
    assert not reader.is_broken


@pytest.mark.parametrize("head", [b"\0\0", (MAX_FRAME_SIZE + 1).to_bytes(2, "big"), b"GET / HTTP/1.1\r\n"])
def test_what_is_no_length_ends_the_reading(head: bytes) -> None:
    reader = FrameReader()
    assert list(reader.datagrams(framed([b"one"]) + head + framed([b"two"]))) == [b"one"]
    assert reader.is_broken
    assert list(reader.datagrams(framed([b"three"]))) == []


# --- a path on a carrier ---


def test_a_path_sends_nothing_new_while_its_carrier_is_full() -> None:
    path, _ = client_path()
    path.carrier = carrier = Carrier("tls")
    assert path.may_send(now=1.0)
    carrier.is_full = True
    assert not path.may_send(now=2.0)
    assert path.is_window_limited(), "no timer can help"
    carrier.is_full = False
    assert path.may_send(now=2.0)
    assert path.pacer.next_send_at >= 2.0, "the time that it was full is not caught up"


def test_a_server_measures_anew_where_a_client_comes_through_a_carrier_and_when_it_leaves_it() -> None:
    path, carrier = server_path(), Carrier("tls")
    prove(path, "udp", now=0.0)
    before = path.network
    path.on_packet_received(path.received.largest + 1, 100, carrier, now=10.0)
    assert (path.carrier, path.network is before) == (carrier, False)
    during = path.network
    path.on_packet_received(path.received.largest + 1, 100, "udp", now=20.0)
    assert (path.carrier, path.network is during) == (None, False)


# --- TLS ---


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """Of a server, with a certificate that openssl has made."""
    key, file = tmp_path / "key.pem", tmp_path / "tls.pem"
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", str(key), "-out", str(file))
    subprocess.run(["openssl", *made], check=True, capture_output=True)
    made_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made_context.load_cert_chain(file, key)
    return made_context


async def pair_of_pipes(context: ssl.SSLContext) -> tuple[TlsPipe, TlsPipe]:
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    near.setblocking(False)
    far.setblocking(False)
    client = TlsPipe(near, client_context(), is_server=False, name="localhost")
    server = TlsPipe(far, context, is_server=True)
    await asyncio.gather(client.handshake(), server.handshake())
    return client, server


async def test_a_pipe_says_when_it_is_full_and_loses_nothing(context: ssl.SSLContext) -> None:
    client, server = await pair_of_pipes(context)
    told, has_room = list[bool](), asyncio.Event()

    def on_room(is_full: bool) -> None:
        told.append(is_full)
        if not is_full:
            has_room.set()

    client.on_room = on_room
    sent = [bytes([number]) * 1400 for number in range(200)]
    for data in sent:
        client.send([data])
    assert told == [True]
    reader, got = FrameReader(), list[bytes]()
    while len(got) < len(sent):
        got += reader.datagrams(await server.read())
    await has_room.wait()
    assert told == [True, False]
    assert hashlib.sha256(b"".join(got)).digest() == hashlib.sha256(b"".join(sent)).digest()
    client.close()
    server.close()


async def test_what_waits_in_a_pipe_has_a_bound(context: ssl.SSLContext) -> None:
    client, server = await pair_of_pipes(context)
    for _ in range(2 * MAX_WAITING // 1400):
        client.send([bytes(1400)])
    assert client.waiting < MAX_WAITING + 2000
    client.close()
    assert await server.read() is not None
    await asyncio.sleep(0)
    server.close()


# --- a link ---


async def test_a_link_whose_address_goes_away_while_it_uses_tls_connects_again(context: ssl.SSLContext) -> None:
    client, server = await pair_of_pipes(context)
    link = Link("a", lambda: [LocalAddress("127.0.0.1", None)], [], tls_endpoints=[("127.0.0.1", 9)])
    link.detour.use(client, ("127.0.0.1", 9), lambda data, source: None, lambda: None)
    assert link.detour.is_in_use
    assert not link.detour.fallback.should_connect(silence=99.0, now=time.monotonic() + 60)
    link.close()
    assert not link.detour.is_in_use
    assert link.detour.fallback.should_connect(silence=99.0, now=time.monotonic() + 60)
    server.close()
    assert client.is_closed
    await asyncio.sleep(0)  # the task that reads ends
    await asyncio.sleep(0)


async def test_a_pipe_that_is_closed_while_somebody_reads_ends_the_reading(context: ssl.SSLContext) -> None:
    client, server = await pair_of_pipes(context)
    reading = asyncio.create_task(client.read())
    await asyncio.sleep(0)
    client.close()
    with pytest.raises(OSError, match=r".*"):
        await reading
    server.close()


async def test_what_is_written_while_the_last_of_the_waiting_bytes_leaves_keeps_its_place(
    context: ssl.SSLContext,
) -> None:
    client, server = await pair_of_pipes(context)
    random, reader, got = Random(7), FrameReader(), list[bytes]()
    sent = [random.randbytes(random.randint(1, 1400)) for _ in range(3000)]

    async def read_all() -> None:
        while len(got) < len(sent):
            got.extend(reader.datagrams(await server.read()))

    reading = asyncio.create_task(read_all())
    for number in range(0, len(sent), 6):
        client.send(sent[number : number + 6])
        for _ in range(random.randrange(12)):
            await asyncio.sleep(0)
    await reading
    assert got == sent
    client.close()
    server.close()
    await asyncio.sleep(0)

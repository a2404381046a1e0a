"""UDP ASSOCIATE (RFC 1928 section 7)."""

import asyncio
import socket

from conformance.bench import GREETING, Bench, Peer, reply, request
from conformance.catalog import case
from tandem_socks import FrontendOptions
from tandem_socks.dialects.messages import encode_datagram, parse_datagram

UDP = "UDP ASSOCIATE"

_LARGEST = 65507
"""Bytes of the largest UDP datagram over IPv4."""


class Socket:
    """A UDP socket of a client, or of a target."""

    def __init__(self, bench: Bench, host: str = "127.0.0.1") -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        bench.own(self.sock)
        self.sock.setblocking(False)
        self.sock.bind((host, 0))
        self.address: tuple[str, int] = self.sock.getsockname()[:2]

    async def receive(self) -> tuple[bytes, tuple[str, int]]:
        data, address = await asyncio.get_running_loop().sock_recvfrom(self.sock, 65536)
        return data, address[:2]

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        self.sock.sendto(data, address)


class Association:
    """A client with a control connection and a UDP socket."""

    def __init__(self, bench: Bench, control: Peer, place: tuple[str, int]) -> None:
        self.bench, self.control, self.place = bench, control, place
        self.socket = Socket(bench)

    def send(self, data: bytes, target: tuple[str, int], name: str = "") -> None:
        head = _by_name(name, target[1]) if name else encode_datagram(*target, b"")
        self.socket.send(head + data, self.place)

    async def ask(self, data: bytes, target: tuple[str, int], name: str = "") -> tuple[tuple[str, int], bytes]:
        """Sends until an answer comes: datagrams may be lost, and so say we."""
        while True:
            self.send(data, target, name)
            try:
                async with asyncio.timeout(1.0):
                    return await self.answer()
            except TimeoutError:
                continue

    async def answer(self) -> tuple[tuple[str, int], bytes]:
        """The next datagram, and where it comes from."""
        data, place = await self.socket.receive()
        assert place == self.place
        host, port, content = parse_datagram(data)
        return (host, port), content


async def associate(bench: Bench, port: int | None = None, named: tuple[str, int] = ("0.0.0.0", 0)) -> Association:
    control = await bench.dial(GREETING + request(*named, command=3), port)
    assert await control.read(2) == b"\x05\x00"
    code, host, bound_port = await reply(control)
    assert code == 0
    return Association(bench, control, (host, bound_port))


async def echo(bench: Bench, host: str = "127.0.0.1") -> Socket:
    made = Socket(bench, host)

    async def run() -> None:
        while True:
            data, address = await made.receive()
            made.send(data, address)

    bench.keep(asyncio.create_task(run()))
    return made


@case(UDP, "BND.ADDR is the address that the client has reached")
async def bound_address(bench: Bench) -> None:
    association = await associate(bench)
    assert association.place[0] == "127.0.0.1"
    assert association.place[1] > 0


@case(UDP, "BND.ADDR is what the owner advertises, where he does")
async def advertised(bench: Bench) -> None:
    port = await bench.frontend(FrontendOptions(advertise="192.0.2.44"))
    assert (await associate(bench, port)).place[0] == "192.0.2.44"


@case(UDP, "datagrams of 1, 1400 and 9000 bytes there and back, with their source")
async def sizes(bench: Bench) -> None:
    association, target = await associate(bench), await echo(bench)
    for size in (1, 1400, 9000):
        source, data = await association.ask(bytes([size % 251]) * size, target.address)
        assert (source, data) == (target.address, bytes([size % 251]) * size)


@case(UDP, "the largest datagram that fits is whole; a larger one is dropped")
async def largest(bench: Bench) -> None:
    association, target = await associate(bench), await echo(bench)
    head = len(encode_datagram(*target.address, b""))
    association.socket.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    source, data = await association.ask(b"x" * (_LARGEST - head), target.address)
    assert (source, len(data)) == (target.address, _LARGEST - head)
    too_large = await _answering(bench, bytes(_LARGEST))
    association.send(b"?", too_large.address)
    source, _ = await association.ask(b"and on", target.address)
    assert source == target.address


@case(UDP, "by IPv6 address and by name")
async def families(bench: Bench) -> None:
    association = await associate(bench)
    six = await echo(bench, "::1")
    assert await association.ask(b"six", six.address) == (six.address, b"six")
    four = await echo(bench)
    assert await association.ask(b"name", four.address, "local.test") == (four.address, b"name")


@case(UDP, "a fragment (FRAG is not 0) is dropped")
async def fragments(bench: Bench) -> None:
    association, target = await associate(bench), await echo(bench)
    whole = encode_datagram(*target.address, b"part")
    association.socket.send(whole[:2] + b"\x01" + whole[3:], association.place)
    assert await association.ask(b"whole", target.address) == (target.address, b"whole")


@case(UDP, "from another address, or another port: dropped")
async def strangers(bench: Bench) -> None:
    association, target = await associate(bench), await echo(bench)
    assert await association.ask(b"mine", target.address) == (target.address, b"mine")
    for stranger in (Socket(bench, "127.0.0.2"), Socket(bench, "127.0.0.1")):
        stranger.send(encode_datagram(*target.address, b"theirs"), association.place)
    assert await association.ask(b"again", target.address) == (target.address, b"again")


@case(UDP, "the port that the client names is pinned from the start")
async def named_port(bench: Bench) -> None:
    own, stranger, target = Socket(bench), Socket(bench), await echo(bench)
    association = await associate(bench, named=own.address)
    stranger.send(encode_datagram(*target.address, b"theirs"), association.place)
    association.socket = own
    assert await association.ask(b"mine", target.address) == (target.address, b"mine")


@case(UDP, "a client that names its target in the request is served all the same")
async def names_its_target(bench: Bench) -> None:
    target = await echo(bench)
    association = await associate(bench, named=("8.8.8.8", 53))
    assert await association.ask(b"hello", target.address) == (target.address, b"hello")


@case(UDP, "from a host that was sent nothing: dropped")
async def uninvited(bench: Bench) -> None:
    association, target = await associate(bench), Socket(bench)
    seen: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    async def run() -> None:
        while True:
            data, address = await target.receive()
            seen.put_nowait(address)
            target.send(data, address)

    bench.keep(asyncio.create_task(run()))
    await association.ask(b"hello", target.address)
    outside = await seen.get()
    Socket(bench, "127.0.0.2").send(b"uninvited", ("127.0.0.1", outside[1]))
    assert await association.ask(b"again", target.address) == (target.address, b"again")


@case(UDP, "a denied destination: dropped, others go on")
async def denied(bench: Bench) -> None:
    association, target = await associate(bench), await echo(bench)
    association.send(b"no", ("10.1.2.3", 53))
    for name in ("denied.example", "2606:4700::1111%lo", "2606:4700::1111%lo", "a" * 255):
        association.send(b"no", ("0.0.0.0", 53), name)
    assert await association.ask(b"yes", target.address) == (target.address, b"yes")


@case(UDP, "ends with its control connection")
async def ends_with_control(bench: Bench) -> None:
    association, target = await associate(bench), await echo(bench)
    await association.ask(b"hello", target.address)
    association.control.close()
    await _wait_unreachable(association)


@case(UDP, "ends after a silence")
async def ends_when_idle(bench: Bench) -> None:
    port = await bench.frontend(FrontendOptions(udp_idle_timeout=1.0))
    association = await associate(bench, port)
    assert await association.control.read_all() == b""
    await _wait_unreachable(association)


@case(UDP, "what is no UDP request: dropped")
async def malformed(bench: Bench) -> None:
    association, target = await associate(bench), await echo(bench)
    for data in (b"", b"\0", b"\0\0\0", b"\0\0\0\x05abc", b"\0\0\0\x03\xffshort", b"\0\0\0\x01\x7f\0\0\x01"):
        association.socket.send(data, association.place)
    assert await association.ask(b"well", target.address) == (target.address, b"well")


@case(UDP, "no way round the password")
async def needs_password(bench: Bench) -> None:
    async def nobody(name: str, password: str, host: str) -> bool:
        return False

    port = await bench.frontend(FrontendOptions(authenticate=nobody))
    assert await bench.refusal(GREETING + request("0.0.0.0", 0, command=3), port) == b"\x05\xff"


async def _answering(bench: Bench, answer: bytes) -> Socket:
    """A target that always says the same."""
    made = Socket(bench)

    async def run() -> None:
        while True:
            _, address = await made.receive()
            made.send(answer, address)

    bench.keep(asyncio.create_task(run()))
    return made


async def _wait_unreachable(association: Association) -> None:
    """Until the system says that nobody listens there."""
    probe = Socket(association.bench)
    probe.sock.connect(association.place)
    while True:
        try:
            probe.sock.send(b"?")
            await asyncio.sleep(0.05)
            probe.sock.send(b"?")
        except ConnectionRefusedError:
            return


def _by_name(name: str, port: int) -> bytes:
    return b"\0\0\0\x03" + bytes([len(name)]) + name.encode() + port.to_bytes(2, "big")

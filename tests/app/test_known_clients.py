"""What a running server knows of its clients, with a registry that answers, changes, and goes away."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from tandem.base.errors import TandemError
from tandem.registry.quota import Quota
from tandem.registry.registration import Registration, Terms
from tandem.registry.source import Changes, Traffic
from tandem.server import known_clients
from tandem.server.known_clients import MAX_QUESTIONS, MAX_UNKNOWN, KnownClients, denial
from tandem_transport import PENDING, Denial, Refusal

LAPTOP, PHONE = b"l" * 32, b"p" * 32


@dataclass
class Book:
    """A registry in memory, which can be away."""

    clients: dict[bytes, Registration] = field(default_factory=dict[bytes, Registration])
    changes: list[Changes] = field(default_factory=list[Changes])
    memory: float = float("inf")
    place: str = "the book"
    file: Path | None = None
    is_away: bool = False
    questions: int = 0
    told: list[Mapping[bytes, Traffic]] = field(default_factory=list[Mapping[bytes, Traffic]])
    open: threading.Event = field(default_factory=threading.Event)

    def find(self, public: bytes) -> Registration | None:
        self.questions += 1
        self._check()
        return self.clients.get(public)

    def is_quiet(self) -> bool:
        return False

    def changes_since(self, revision: int | None) -> Changes:
        self._check()
        return self.changes.pop(0) if self.changes and revision is not None else Changes(revision or 0)

    def account(self, traffic: Mapping[bytes, Traffic]) -> Mapping[bytes, Registration | None]:
        self._check()
        self.told.append(traffic)
        return {public: self.clients[public] for public in traffic if public in self.clients}

    def count(self) -> int | None:
        self._check()
        return len(self.clients)

    def close(self) -> None:
        pass

    def _check(self) -> None:
        assert self.open.wait(60)
        if self.is_away:
            raise TandemError("registry the book: it is away")


class Server:
    """A server's side: what it was told, and what it would ask."""

    def __init__(self) -> None:
        self.book = Book()
        self.book.open.set()
        self.found: list[bytes] = []
        self.denied: list[tuple[bytes, str]] = []
        self.removed: list[bytes] = []
        self.untold: dict[bytes, int] = {}
        self.known = KnownClients(
            self.book,
            on_found=self.found.append,
            on_denied=lambda public, why: self.denied.append((public, why)),
            on_removed=self.removed.append,
            untold=lambda public: self.untold.get(public, 0),
        )

    def register(self, public: bytes, name: str, terms: Terms | None = None, **more: object) -> None:
        self.book.clients[public] = Registration(name, public, "", terms or Terms(), **more)  # type: ignore[arg-type]

    async def asked(self, public: bytes) -> object:
        """The answer to a question, after it has been looked up."""
        if self.known.lookup(public) is PENDING:
            await self.settled(lambda: self.known.lookup(public) is not PENDING)
        return self.known.lookup(public)

    async def settled(self, is_done: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_done():  # noqa: ASYNC110, the table that it looks at has no event
                await asyncio.sleep(0.005)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    await made.known.start()
    yield made
    made.book.open.set()
    await made.known.close()


async def test_a_key_is_looked_up_once_and_without_waiting(server: Server) -> None:
    server.register(LAPTOP, "laptop")
    server.book.open.clear()
    began = time.monotonic()
    assert [server.known.lookup(LAPTOP) for _ in range(5)] == [PENDING] * 5
    assert time.monotonic() - began < 5, "it did not wait for the registry"
    server.book.open.set()
    await server.settled(lambda: server.found == [LAPTOP])
    assert server.known.lookup(LAPTOP) == "laptop"
    assert server.book.questions == 1


async def test_a_stranger_costs_one_question_and_fills_no_table(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await server.asked(PHONE) is None
    for _ in range(50):
        assert server.known.lookup(PHONE) is None
    assert server.book.questions == 1
    monkeypatch.setattr(known_clients, "UNKNOWN_TIME", 0.0)
    assert server.known.lookup(PHONE) is PENDING
    await server.settled(lambda: server.book.questions == 2)
    for number in range(MAX_UNKNOWN + 100):
        server.known._learn(number.to_bytes(32, "big"), None)  # pyright: ignore[reportPrivateUsage]
    assert len(server.known._unknown) == MAX_UNKNOWN  # pyright: ignore[reportPrivateUsage]


async def test_no_more_than_some_questions_are_asked_at_once(server: Server) -> None:
    server.book.open.clear()
    keys = [number.to_bytes(32, "big") for number in range(MAX_QUESTIONS + 20)]
    assert {server.known.lookup(public) for public in keys} == {PENDING}
    server.book.open.set()
    await server.settled(lambda: server.book.questions == MAX_QUESTIONS)
    assert await server.asked(keys[-1]) is None, "it asks again, and has its turn"


async def test_a_registry_that_is_away_revokes_nobody_and_lets_nobody_new_in(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.register(LAPTOP, "laptop")
    server.register(PHONE, "phone")
    assert await server.asked(LAPTOP) == "laptop"
    server.book.is_away = True
    for _ in range(3):
        await server.known.follow(frozenset({LAPTOP}))
        assert not await server.known.account({LAPTOP: Traffic(1, is_online=True)})
    assert server.known.lookup(LAPTOP) == "laptop"
    assert server.known.lookup(PHONE) is PENDING
    await server.settled(lambda: server.book.questions == 2)
    assert server.known.lookup(PHONE) is PENDING
    assert (server.denied, server.removed) == ([], [])
    assert server.known.problem == "registry the book: it is away"
    assert [record.levelname for record in caplog.records] == ["ERROR"], "once, not each second"
    server.book.is_away = False
    assert await server.asked(PHONE) == "phone"
    await server.known.follow(frozenset({LAPTOP}))
    assert server.known.problem == ""
    assert "can be followed again" in caplog.text


async def test_changes_come_into_force_for_those_who_are_known(server: Server) -> None:
    server.register(LAPTOP, "laptop")
    server.register(PHONE, "phone")
    for public in (LAPTOP, PHONE):
        await server.asked(public)
    del server.book.clients[LAPTOP]
    server.register(PHONE, "phone", Terms(is_disabled=True, rate=7))
    server.book.changes.append(Changes(1, changed=frozenset({LAPTOP, PHONE, b"x" * 32})))
    questions = server.book.questions
    await server.known.follow(frozenset({LAPTOP}))
    assert server.book.questions == questions + 2, "nobody asks for who is not known here"
    assert server.removed == [LAPTOP]
    assert server.known.lookup(LAPTOP) is None
    assert server.known.lookup(PHONE) == Denial(Refusal.DISABLED)
    server.known.end_denied(PHONE)
    assert server.denied == [(PHONE, "the server's owner has disabled this client")]
    assert server.known.terms("phone").rate == 7
    assert server.known.count == 1


async def test_a_client_that_is_invited_after_it_has_knocked_may_come_at_once(server: Server) -> None:
    assert await server.asked(LAPTOP) is None
    server.register(LAPTOP, "laptop")
    assert server.known.lookup(LAPTOP) is None
    server.book.changes.append(Changes(1, changed=frozenset({LAPTOP})))
    await server.known.follow(frozenset())
    assert await server.asked(LAPTOP) == "laptop"


async def test_a_kick_ends_the_sessions_of_those_who_have_some(server: Server) -> None:
    server.register(LAPTOP, "laptop")
    await server.asked(LAPTOP)
    server.book.changes.append(Changes(1, kicked=frozenset({LAPTOP, PHONE})))
    await server.known.follow(frozenset({LAPTOP}))
    assert server.denied == [(LAPTOP, "the server's owner has ended this session")]
    assert server.known.lookup(LAPTOP) == "laptop"


async def test_after_a_gap_all_who_have_sessions_are_asked_for_again(server: Server) -> None:
    server.register(LAPTOP, "laptop")
    server.register(PHONE, "phone")
    for public in (LAPTOP, PHONE):
        await server.asked(public)
    server.book.clients.clear()
    server.book.changes.append(Changes(99, is_complete=False))
    await server.known.follow(frozenset({LAPTOP}))
    assert server.removed == [LAPTOP]
    assert await server.asked(PHONE) is None


async def test_a_change_that_could_not_be_read_to_its_end_is_read_again(server: Server) -> None:
    """The registry tells of a change, and is away when the client is asked for."""
    server.register(LAPTOP, "laptop")
    await server.asked(LAPTOP)
    del server.book.clients[LAPTOP]
    seen: list[int | None] = []

    def changes_since(revision: int | None) -> Changes:
        seen.append(revision)
        server.book.is_away = len(seen) == 1
        return Changes(5, changed=frozenset({LAPTOP}))

    server.book.changes_since = changes_since  # type: ignore[method-assign]
    await server.known.follow(frozenset({LAPTOP}))
    assert server.removed == []
    await server.known.follow(frozenset({LAPTOP}))
    assert server.removed == [LAPTOP]
    assert seen == [0, 0]


async def test_a_quota_counts_what_the_registry_does_not_know_yet(server: Server) -> None:
    server.register(LAPTOP, "laptop", Terms(Quota(100, "day")), used=60)
    assert await server.asked(LAPTOP) == "laptop"
    server.untold[LAPTOP] = 39
    server.known.end_denied(LAPTOP)
    assert server.denied == []
    server.untold[LAPTOP] = 40
    found = server.known.lookup(LAPTOP)
    assert isinstance(found, Denial)
    assert found.code is Refusal.QUOTA_USED_UP
    assert 0 < found.until - time.time() <= 86_400
    server.known.end_denied(LAPTOP)
    ((_, why),) = server.denied
    assert why.startswith("this client's quota of 100 B a day is used up until 20")


async def test_a_refusal_is_asked_for_again_after_a_while(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota begins anew without a change of the registry."""
    server.register(LAPTOP, "laptop", Terms(Quota(100, "day")), used=100)
    assert isinstance(await server.asked(LAPTOP), Denial)
    server.register(LAPTOP, "laptop", Terms(Quota(100, "day")), used=0)
    assert isinstance(server.known.lookup(LAPTOP), Denial)
    monkeypatch.setattr(known_clients, "UNKNOWN_TIME", 0.0)
    assert server.known.lookup(LAPTOP) is PENDING
    await server.settled(lambda: len(server.found) == 2)
    assert server.known.lookup(LAPTOP) == "laptop"


async def test_a_registry_that_tells_of_no_changes_is_asked_again_and_may_be_away_then(server: Server) -> None:
    server.register(LAPTOP, "laptop")
    assert await server.asked(LAPTOP) == "laptop"
    server.book.memory = 0.0
    server.book.is_away = True
    assert server.known.lookup(LAPTOP) is PENDING
    server.book.memory = 30.0
    await server.settled(lambda: bool(server.found[1:]))
    assert server.known.lookup(LAPTOP) == "laptop", "who was known stays known"


@pytest.mark.parametrize(
    ("registration", "expected"),
    [
        (Registration("c", LAPTOP, "", Terms(expires_at=1000)), Denial(Refusal.EXPIRED)),
        (Registration("c", LAPTOP, "", Terms(expires_at=1001)), None),
        (Registration("c", LAPTOP, "", Terms(is_disabled=True, expires_at=1)), Denial(Refusal.DISABLED)),
        (Registration("c", LAPTOP, "", spent_until=77), Denial(Refusal.QUOTA_USED_UP, 77)),
        (Registration("c", LAPTOP, "", Terms(Quota(9, "day")), used=8), Denial(Refusal.QUOTA_USED_UP, 86_400)),
        (Registration("c", LAPTOP, "", Terms(Quota(10, "day")), used=8), None),
    ],
)
def test_who_may_not_come_and_why(registration: Registration, expected: Denial | None) -> None:
    assert denial(registration, 1, 1000.0) == expected


async def test_a_client_that_is_removed_while_it_is_being_asked_for_is_not_remembered(server: Server) -> None:
    server.register(LAPTOP, "laptop")
    read, go_on = threading.Event(), threading.Event()
    find = server.book.find

    def slow(public: bytes) -> Registration | None:
        found = find(public)
        read.set()
        assert go_on.wait(60)
        return found

    server.book.find = slow  # type: ignore[method-assign]
    assert server.known.lookup(LAPTOP) is PENDING
    await asyncio.to_thread(read.wait, 60)
    del server.book.clients[LAPTOP]
    server.book.changes.append(Changes(1, changed=frozenset({LAPTOP})))
    await server.known.follow(frozenset())
    go_on.set()
    await server.settled(lambda: server.known.lookup(LAPTOP) is not PENDING)
    assert server.known.lookup(LAPTOP) is None


async def test_a_registry_that_hangs_is_a_problem_and_not_a_stop(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_clients, "ANSWER_TIMEOUT", 0.05)
    server.book.open.clear()
    await server.known.follow(frozenset())
    assert "no answer within" in server.known.problem
    server.book.open.set()
    monkeypatch.undo()
    await server.known.follow(frozenset())
    assert server.known.problem == ""


async def test_a_client_of_whom_the_registry_knows_nothing_any_more_is_removed(server: Server) -> None:
    server.register(LAPTOP, "laptop")
    await server.asked(LAPTOP)
    server.book.account = lambda traffic: {LAPTOP: None}  # type: ignore[method-assign]
    assert await server.known.account({LAPTOP: Traffic(1, is_online=True)})
    assert server.removed == [LAPTOP]

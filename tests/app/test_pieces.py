"""Datagrams in pieces, and passwords."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.config.passwords import PasswordBook, hash_password, is_hash
from tandem.exchange import pieces
from tandem.exchange.pieces import Cutter, Joiner, decode_datagram, encode_datagram


@given(st.binary(max_size=70_000), st.integers(300, 1300), st.randoms(use_true_random=False))
def test_a_datagram_is_put_together_from_its_pieces_in_any_order(
    data: bytes, room: int, shuffler: random.Random
) -> None:
    cut = Cutter().cut(data, room)
    assert all(len(piece) <= room for piece in cut)
    shuffler.shuffle(cut)
    joiner = Joiner()
    joined = [joiner.join(piece) for piece in cut]
    assert joined[:-1] == [None] * (len(cut) - 1)
    assert joined[-1] == data


def test_a_lost_piece_costs_its_datagram_and_no_other() -> None:
    cutter, joiner = Cutter(), Joiner()
    for piece in cutter.cut(bytes(3000), 1000)[1:]:
        assert joiner.join(piece) is None
    assert [joiner.join(piece) for piece in cutter.cut(b"x" * 3000, 1000)][-1] == b"x" * 3000
    for _ in range(pieces.MAX_UNFINISHED):
        joiner.join(cutter.cut(bytes(3000), 1000)[0])
    assert joiner.dropped == 1


def test_a_piece_of_a_datagram_long_ago_is_not_mixed_into_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("tandem.exchange.pieces.time.monotonic", lambda: now[0])
    joiner = Joiner()
    joiner.join(Cutter().cut(b"a" * 2000, 1004)[0])
    now[0] = pieces.PIECE_LIFETIME + 1
    cut = Cutter().cut(b"b" * 2000, 1004)
    assert [joiner.join(cut[1]), joiner.join(cut[0])] == [None, b"b" * 2000]
    assert joiner.dropped == 1


def test_what_is_never_finished_takes_little_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("tandem.exchange.pieces.time.monotonic", lambda: now[0])
    joiner = Joiner()
    pieces_of_all = [Cutter().cut(bytes(60_000), 1300) for _ in range(2000)]
    for number, cut in enumerate(pieces_of_all):
        for piece in cut[1:]:
            joiner.join(number.to_bytes(2, "big") + piece[2:])
    assert joiner.buffered < pieces.MAX_UNFINISHED_SIZE + 1300
    now[0] = pieces.PIECE_LIFETIME + 1
    joiner.join(pieces_of_all[0][1])
    assert joiner.buffered < 1300


def test_a_datagram_larger_than_any_is_given_up() -> None:
    joiner = Joiner()
    for index in range(200):
        joiner.join(b"\0\0" + bytes([index, 255]) + bytes(1000))
    assert joiner.buffered <= pieces.MAX_DATAGRAM


@given(st.binary(max_size=400))
def test_pieces_that_are_nonsense_do_no_harm(data: bytes) -> None:
    joined = Joiner().join(data)
    if joined is not None:
        decode_datagram(joined)


@given(st.text(max_size=60).filter(str.isprintable), st.integers(0, 65535), st.binary(max_size=50))
def test_a_datagram_says_where_it_goes(host: str, port: int, data: bytes) -> None:
    assert decode_datagram(encode_datagram(host, port, data)) == (host, port, data)


def test_what_is_too_large_for_the_number_of_pieces_is_not_sent() -> None:
    assert Cutter().cut(bytes(66_000), 200) == []


async def test_passwords_are_checked_once_and_then_known() -> None:
    book = PasswordBook({"anna": hash_password("secret")})
    assert await book.check("anna", "secret", "here")
    assert await book.check("anna", "secret", "there")
    assert not await book.check("anna", "Secret", "here")
    assert not await book.check("bob", "secret", "here")
    assert not await book.check("bob", "", "here")


async def test_who_guesses_holds_nobody_up_and_a_browser_may_begin_with_many() -> None:
    book = PasswordBook({"anna": hash_password("secret")})
    guesses = [asyncio.create_task(book.check("anna", f"guess {i}", "there")) for i in range(500)]
    assert all(await asyncio.gather(*(book.check("anna", "secret", "here") for _ in range(60))))
    assert not any(await asyncio.gather(*guesses))


def test_a_hash_says_nothing_and_is_recognised() -> None:
    hashed = hash_password("secret")
    assert hashed != hash_password("secret")
    assert "secret" not in hashed
    assert is_hash(hashed)
    for wrong in ("secret", "scrypt$1$2", hashed.replace("16384", "16385"), hashed.replace("16384", str(1 << 30))):
        assert not is_hash(wrong), wrong

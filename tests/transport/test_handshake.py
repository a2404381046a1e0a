"""Noise IK against published vectors and another implementation; the messages around it."""

from hashlib import blake2s
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from simnet import CLIENT_KEY, SERVER_KEY
from tandem_transport.crypto.handshake import (
    Challenged,
    ClientHandshake,
    CookieReceived,
    Established,
    Refusal,
    Refused,
    ServerHandshake,
    cookie_key,
    cookie_reply,
    has_mac2,
    has_valid_mac1,
    has_valid_mac2,
    mac1_key,
)
from tandem_transport.crypto.noise import Initiator, NoiseError, Responder, public_key
from tandem_transport.errors import DecodeError
from tandem_transport.parameters import FIRST_VERSION, PROLOGUE
from tandem_transport.wire.packets import PacketType, PacketView, message, split_datagram
from tandem_transport.wire.transport_parameters import CipherSuite, TransportParameters

# Noise_IK_25519_ChaChaPoly_BLAKE2s of the cacophony test vectors.
VECTOR = {
    "prologue": "4a6f686e2047616c74",
    "init_static": "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
    "init_ephemeral": "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
    "remote_static": "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
    "resp_static": "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
    "resp_ephemeral": "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
    "payload_1": "4c756477696720766f6e204d69736573",
    "message_1": "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79440b03ddc7aac5123d06a1b23b71670e32"
    "e76c28239a7ca4ac8f784de7e44c1adbfc6e83fef7352a58d9d56157400c0a737b1d171ce368229c7b752ac25b8faf4eca690f6d"
    "896f543be02c996ab2b86b76",
    "payload_2": "4d757272617920526f746862617264",
    "message_2": "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843d9b5a8927f0ac9655ef76833bc7e5561f4"
    "2e691ac8404efd6fbd6308b6a27c",
    "payload_3": "462e20412e20486179656b",
    "message_3": "2c256ed08fcd08c2980f954ee4beaccb61c9581340f5dd2fd1cf3b",
    "payload_4": "4361726c204d656e676572",
    "message_4": "d6033f70eee20945c7c9dba304e397ee3b284ff5e00fd9efb095d3",
}


def vector(name: str) -> bytes:
    return bytes.fromhex(VECTOR[name])


def test_noise_matches_the_published_vector() -> None:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    initiator = Initiator(vector("prologue"), vector("init_static"), vector("init_ephemeral"), vector("remote_static"))
    responder = Responder(vector("prologue"), vector("resp_static"))
    first = initiator.write_initiation(vector("payload_1"))
    assert first == vector("message_1")
    assert responder.read_initiation(first) == vector("payload_1")
    assert responder.remote_static == public_key(vector("init_static"))
    second, *responder_keys = responder.write_response(vector("resp_ephemeral"), vector("payload_2"))
    assert second == vector("message_2")
    payload, *initiator_keys = initiator.read_response(second)
    assert payload == vector("payload_2")
    assert initiator_keys == responder_keys
    to_server, to_client = initiator_keys
    assert ChaCha20Poly1305(to_server).encrypt(bytes(12), vector("payload_3"), b"") == vector("message_3")
    assert ChaCha20Poly1305(to_client).encrypt(bytes(12), vector("payload_4"), b"") == vector("message_4")


def other_implementation(*, is_initiator: bool) -> Any:
    noise: Any = NoiseConnection.from_name(b"Noise_IK_25519_ChaChaPoly_BLAKE2s")
    noise.set_prologue(PROLOGUE)
    if is_initiator:
        noise.set_as_initiator()
        noise.set_keypair_from_private_bytes(Keypair.STATIC, CLIENT_KEY)
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public_key(SERVER_KEY))
    else:
        noise.set_as_responder()
        noise.set_keypair_from_private_bytes(Keypair.STATIC, SERVER_KEY)
    noise.start_handshake()
    return noise


def test_our_initiator_with_another_responder() -> None:
    ours = Initiator(PROLOGUE, CLIENT_KEY, b"e" * 32, public_key(SERVER_KEY))
    theirs = other_implementation(is_initiator=False)
    assert bytes(theirs.read_message(ours.write_initiation(b"hello"))) == b"hello"
    payload, to_server, _ = ours.read_response(bytes(theirs.write_message(b"welcome")))
    assert payload == b"welcome"
    assert theirs.noise_protocol.cipher_state_decrypt.k == to_server


def test_our_responder_with_another_initiator() -> None:
    ours = Responder(PROLOGUE, SERVER_KEY)
    theirs = other_implementation(is_initiator=True)
    assert ours.read_initiation(bytes(theirs.write_message(b"hello"))) == b"hello"
    message, to_server, to_client = ours.write_response(b"e" * 32, b"welcome")
    assert bytes(theirs.read_message(message)) == b"welcome"
    assert theirs.noise_protocol.cipher_state_encrypt.k == to_server
    assert theirs.noise_protocol.cipher_state_decrypt.k == to_client


# --- the messages around it ---

RANDOM = Random(1)


def client_handshake(
    *, server_public: bytes | None = None, timestamp_us: int = 5, token: bytes = bytes(16)
) -> ClientHandshake:
    return ClientHandshake(
        static_private=CLIENT_KEY,
        server_public=server_public or public_key(SERVER_KEY),
        parameters=TransportParameters(cipher_suite=CipherSuite.CHACHA20_POLY1305),
        instance_id=b"instance",
        timestamp_us=timestamp_us,
        token=token,
        randomness=RANDOM.randbytes,
    )


def view(data: bytes) -> PacketView:
    (packet,) = split_datagram(data)
    return packet


def test_both_ends_get_the_same_session() -> None:
    client = client_handshake()
    server = ServerHandshake(SERVER_KEY, view(client.initiation()))
    assert (server.client_public, server.timestamp_us) == (public_key(CLIENT_KEY), 5)
    assert server.instance_id == b"instance"
    answer, at_server = server.accept(b"c" * 16, b"r" * 16, TransportParameters(), RANDOM.randbytes)
    at_client = client.read_answer(view(answer))
    assert isinstance(at_client, Established)
    assert at_client.reset_token == at_server.reset_token == b"r" * 16
    assert at_server.peer_parameters.cipher_suite is CipherSuite.CHACHA20_POLY1305
    for sender, receiver in ((at_client, at_server), (at_server, at_client)):
        packet = sender.protection.seal(2, 7, b"payload")
        assert receiver.protection.open(view(packet), 7, now=0) == b"payload"
        assert receiver.protection.open(view(packet), 8, now=0) is None


def test_the_fields_of_both_messages_stand_where_the_specification_has_them() -> None:
    first = client_handshake(timestamp_us=258, token=b"0123456789abcdef").initiation()
    noise = Responder(PROLOGUE, SERVER_KEY)
    payload = noise.read_initiation(view(first).body[:-32])
    parameters = TransportParameters(cipher_suite=CipherSuite.CHACHA20_POLY1305).encode()
    assert payload == bytes(6) + b"\x01\x02instance0123456789abcdef" + parameters + bytes(64 - len(parameters))
    assert ServerHandshake(SERVER_KEY, view(first)).token == b"0123456789abcdef"

    initiator = Initiator(PROLOGUE, CLIENT_KEY, b"e" * 32, public_key(SERVER_KEY))
    body = initiator.write_initiation(payload)
    server = ServerHandshake(SERVER_KEY, view(message(PacketType.INITIATION, bytes(16), body + bytes(32))))
    answer, _ = server.accept(b"c" * 16, b"r" * 16, TransportParameters(), RANDOM.randbytes)
    parameters = TransportParameters().encode()
    padding = bytes(64 - len(parameters))
    assert initiator.read_response(view(answer).body)[0] == b"c" * 16 + b"r" * 16 + parameters + padding


def test_parameters_that_are_left_out_have_their_defaults() -> None:
    initiator = Initiator(PROLOGUE, CLIENT_KEY, b"e" * 32, public_key(SERVER_KEY))
    body = initiator.write_initiation(bytes(32)) + bytes(32)
    server = ServerHandshake(SERVER_KEY, view(message(PacketType.INITIATION, bytes(16), body)))
    assert server.parameters == TransportParameters(version=FIRST_VERSION)

    client = client_handshake()
    responder = Responder(PROLOGUE, SERVER_KEY)
    responder.read_initiation(view(client.initiation()).body[:-32])
    body, *_ = responder.write_response(b"e" * 32, bytes(32))
    answer = client.read_answer(view(message(PacketType.RESPONSE, client.handshake_id, body)))
    assert isinstance(answer, Established)
    assert answer.peer_parameters == TransportParameters(version=FIRST_VERSION)


def test_noise_carries_empty_payloads() -> None:
    initiator, responder = Initiator(b"", CLIENT_KEY, b"e" * 32, public_key(SERVER_KEY)), Responder(b"", SERVER_KEY)
    assert responder.read_initiation(initiator.write_initiation(b"")) == b""
    assert initiator.read_response(responder.write_response(b"f" * 32, b"")[0])[0] == b""


def test_answers_are_not_larger_than_the_first_message() -> None:
    client = client_handshake()
    first = client.initiation()
    server = ServerHandshake(SERVER_KEY, view(first))
    answers = [
        server.challenge(b"t" * 16, RANDOM.randbytes),
        server.refuse(Refusal.UNKNOWN_KEY, RANDOM.randbytes),
        cookie_reply(cookie_key(public_key(SERVER_KEY)), view(first), b"k" * 16, RANDOM.randbytes),
        server.accept(b"c" * 16, b"r" * 16, TransportParameters(), RANDOM.randbytes)[0],
    ]
    assert all(len(answer) < len(first) for answer in answers)


@pytest.mark.parametrize(("until", "size"), [(0, 1), (1, 9), (1_900_000_000, 9), ((1 << 64) - 1, 9)])
def test_a_refusal_says_until_when_where_that_is_known(until: int, size: int) -> None:
    client = client_handshake()
    server = ServerHandshake(SERVER_KEY, view(client.initiation()))
    refusal = server.refuse(Refusal.QUOTA_USED_UP, RANDOM.randbytes, until=until)
    assert client.read_answer(view(refusal)) == Refused(Refusal.QUOTA_USED_UP, until)
    plain = len(server.refuse(Refusal.SERVER_FULL, RANDOM.randbytes))
    assert len(refusal) - plain == size - 1


@pytest.mark.parametrize("text", [b"", b"\x06\x01", b"\x06" + bytes(7), b"\x06" + bytes(9)])
def test_a_refusal_of_another_size_is_no_answer(text: bytes) -> None:
    client = client_handshake()
    server: Any = ServerHandshake(SERVER_KEY, view(client.initiation()))
    assert client.read_answer(view(server._seal(PacketType.REFUSED, text, RANDOM.randbytes))) is None


def test_challenge_refusal_and_cookie_are_read_by_their_client_alone() -> None:
    client, other = client_handshake(), client_handshake()
    first = client.initiation()
    server = ServerHandshake(SERVER_KEY, view(first))
    challenge = view(server.challenge(b"t" * 16, RANDOM.randbytes))
    refusal = view(server.refuse(Refusal.SERVER_FULL, RANDOM.randbytes))
    cookie = view(cookie_reply(cookie_key(public_key(SERVER_KEY)), view(first), b"k" * 16, RANDOM.randbytes))
    assert client.read_answer(challenge) == Challenged(b"t" * 16)
    assert client.read_answer(refusal) == Refused(Refusal.SERVER_FULL)
    assert client.read_answer(cookie) == CookieReceived(b"k" * 16)
    assert [other.read_answer(answer) for answer in (challenge, refusal, cookie)] == [None] * 3


def test_challenges_and_refusals_have_one_size() -> None:
    client = client_handshake()
    server: Any = ServerHandshake(SERVER_KEY, view(client.initiation()))
    for size in (0, 1, 15, 17):
        assert client.read_answer(view(server.challenge(bytes(size), RANDOM.randbytes))) is None
    for size in (0, 2, 16):
        assert client.read_answer(view(server._seal(PacketType.REFUSED, bytes(size), RANDOM.randbytes))) is None


def test_keys_of_what_stands_around_noise_are_those_of_the_specification() -> None:
    assert mac1_key(b"public") == blake2s(b"tandem mac1public").digest()
    assert cookie_key(b"public") == blake2s(b"tandem cookiepublic").digest()


def test_a_message_too_short_for_what_it_must_have_is_refused_whatever_its_mac() -> None:
    key = mac1_key(public_key(SERVER_KEY))
    for size, is_valid in ((96, True), (95, False), (0, False)):
        unsigned = message(PacketType.INITIATION, bytes(16), bytes(size + 32))[:-32]
        packet = view(unsigned + blake2s(unsigned, key=key, digest_size=16).digest() + bytes(16))
        assert has_valid_mac1(key, packet) == is_valid


def test_macs() -> None:
    first = client_handshake().initiation()
    key = mac1_key(public_key(SERVER_KEY))
    assert not has_mac2(view(first))
    assert has_mac2(view(client_handshake().initiation(b"k" * 16)))
    assert has_valid_mac1(key, view(first))
    assert not has_valid_mac1(mac1_key(public_key(CLIENT_KEY)), view(first))
    assert not has_valid_mac1(key, view(first[:5] + b"\xff" + first[6:]))
    assert not has_valid_mac2(b"k" * 16, view(first))
    assert has_valid_mac2(b"k" * 16, view(client_handshake().initiation(b"k" * 16)))


def test_a_message_for_another_server_is_refused() -> None:
    first = client_handshake(server_public=public_key(b"x" * 32)).initiation()
    with pytest.raises(DecodeError):
        ServerHandshake(SERVER_KEY, view(first))


def test_a_forged_answer_does_not_end_the_attempt() -> None:
    client = client_handshake()
    server = ServerHandshake(SERVER_KEY, view(client.initiation()))
    answer, _ = server.accept(b"c" * 16, b"r" * 16, TransportParameters(), RANDOM.randbytes)
    forged = answer[:-1] + bytes([answer[-1] ^ 1])
    assert client.read_answer(view(forged)) is None
    assert isinstance(client.read_answer(view(answer)), Established)


def test_points_of_low_order_are_refused() -> None:
    with pytest.raises(NoiseError):
        Responder(PROLOGUE, SERVER_KEY).read_initiation(bytes(200))


@given(st.binary(min_size=6, max_size=400))
def test_arbitrary_first_messages_are_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        ServerHandshake(SERVER_KEY, view(message(PacketType.INITIATION, bytes(16), body)))

"""Keys of a session as PROTOCOL.md derives them, when they change, and connection ids."""

import hmac
from hashlib import blake2s

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from simnet import SERVER_KEY
from tandem_transport.crypto.connection_id import ConnectionIdIssuer, session_tag
from tandem_transport.crypto.protection import PacketProtection
from tandem_transport.errors import PeerError
from tandem_transport.parameters import KEY_UPDATE_PERIOD, PREVIOUS_KEYS_LIFETIME
from tandem_transport.wire.packets import PacketView, split_datagram
from tandem_transport.wire.transport_parameters import CipherSuite

ID = b"c" * 16
SECRETS = (b"1" * 32, b"2" * 32)
AEADS: dict[CipherSuite, type[AESGCM] | type[ChaCha20Poly1305]] = {
    CipherSuite.AES_256_GCM: AESGCM,
    CipherSuite.CHACHA20_POLY1305: ChaCha20Poly1305,
}


def both_ends(suite: CipherSuite = CipherSuite.CHACHA20_POLY1305) -> tuple[PacketProtection, PacketProtection]:
    first, second = SECRETS
    return PacketProtection(ID, first, second, suite), PacketProtection(ID, second, first, suite)


def view(data: bytes) -> PacketView:
    (packet,) = split_datagram(data)
    return packet


def carry(sender: PacketProtection, receiver: PacketProtection, *, now: float, number: int = 0) -> bytes | None:
    return receiver.open(view(sender.seal(0, number, b"payload")), number, now=now)


def follow(one: PacketProtection, other: PacketProtection, *, now: float) -> None:
    """The other end goes into the next phase too, and each has a packet of it."""
    assert carry(one, other, now=now) == carry(other, one, now=now) == b"payload"


# --- what the keys are ---


def expanded(secret: bytes, label: bytes) -> bytes:
    """PROTOCOL.md section 4."""
    return hmac.new(secret, label + b"\x01", "blake2s").digest()


@pytest.mark.parametrize("suite", list(CipherSuite))
def test_packets_are_sealed_with_the_keys_of_the_specification(suite: CipherSuite) -> None:
    sender, _ = both_ends(suite)
    secret = SECRETS[0]
    for phase in range(3):
        packet = sender.seal(3, 7, b"payload")
        assert view(packet).key_phase == phase % 2
        aead = AEADS[suite](expanded(secret, b"tandem key"))
        header = len(packet) - len(b"payload") - 16
        nonce = (3).to_bytes(4, "big") + (7).to_bytes(8, "big")
        assert aead.decrypt(nonce, packet[header:], packet[:header]) == b"payload"
        secret = expanded(secret, b"tandem ku")
        sender.update_keys(now=0.0)


# --- when they change ---


def test_a_phase_lasts_so_many_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tandem_transport.crypto.protection.KEY_UPDATE_PACKETS", 5)
    one, other = both_ends()
    for phase in range(2):
        now = 100.0 * (phase + 1)
        follow(one, other, now=now)
        now += PREVIOUS_KEYS_LIFETIME + 1
        for _ in range(3):
            one.seal(0, 0, b"")
        one.update_if_due(now=now)
        assert one.updates == phase, "four packets"
        one.seal(0, 0, b"")
        one.update_if_due(now=now)
        assert one.updates == phase + 1, "five"


def test_a_phase_lasts_an_hour() -> None:
    one, other = both_ends()
    follow(one, other, now=5000.0)
    one.update_if_due(now=5000.0)
    one.update_if_due(now=4999.0 + KEY_UPDATE_PERIOD)
    assert one.updates == 0
    one.update_if_due(now=5000.0 + KEY_UPDATE_PERIOD)
    assert one.updates == 1
    follow(one, other, now=6000.0 + KEY_UPDATE_PERIOD)
    one.update_if_due(now=4999.0 + 2 * KEY_UPDATE_PERIOD)
    assert one.updates == 1
    one.update_if_due(now=5000.0 + 2 * KEY_UPDATE_PERIOD)
    assert one.updates == 2


def test_sleep_makes_no_phase_younger() -> None:
    one, other = both_ends()
    follow(one, other, now=0.0)
    one.update_if_due(now=0.0)
    one.on_wake(now=100.0)
    one.update_if_due(now=KEY_UPDATE_PERIOD)
    assert one.updates == 1


def test_no_update_before_the_other_end_is_known_to_have_the_keys() -> None:
    one, other = both_ends()
    assert not one.may_update(now=0.0)
    forged = other.seal(0, 0, b"payload")[:-1] + b"?"
    assert one.open(view(forged), 0, now=0.0) is None
    assert not one.may_update(now=0.0), "a forged packet proves nothing"
    carry(other, one, now=0.0)
    assert one.may_update(now=0.0)
    one.update_keys(now=0.0)
    assert not one.may_update(now=1000.0)


def test_keys_of_the_last_phase_are_read_for_ten_seconds_whatever_arrives_meanwhile() -> None:
    one, other = both_ends()
    follow(one, other, now=0.0)
    late = other.seal(0, 9, b"late")
    one.update_keys(now=100.0)
    follow(one, other, now=100.0)
    carry(other, one, now=105.0)
    assert one.open(view(late), 9, now=100.0 + PREVIOUS_KEYS_LIFETIME) == b"late"
    assert not one.may_update(now=100.0 + PREVIOUS_KEYS_LIFETIME)
    assert one.may_update(now=100.5 + PREVIOUS_KEYS_LIFETIME)
    assert one.open(view(late), 9, now=100.5 + PREVIOUS_KEYS_LIFETIME) is None


def test_a_second_update_of_the_peer_is_a_violation_while_the_first_is_not_over() -> None:
    one, other = both_ends()
    for now in (100.0, 100.0 + PREVIOUS_KEYS_LIFETIME):
        other.update_keys(now=now)
        assert carry(other, one, now=now) == b"payload"
    other.update_keys(now=now)
    with pytest.raises(PeerError, match="PROTOCOL_VIOLATION"):
        carry(other, one, now=now + PREVIOUS_KEYS_LIFETIME - 0.5)


# --- connection ids ---


def test_connection_ids_are_those_of_the_specification() -> None:
    issuer = ConnectionIdIssuer(SERVER_KEY)
    key = blake2s(b"connection id", key=SERVER_KEY).digest()
    issued = issuer.issue(b"8 random")
    assert issued == b"8 random" + blake2s(b"8 random", key=key, digest_size=8).digest()
    assert issuer.is_ours(issued)
    assert not issuer.is_ours(b"9" + issued[1:])
    assert not issuer.is_ours(issued[:-1] + b"?")
    assert not ConnectionIdIssuer(b"another server's private key, 32").is_ours(issued)


def test_only_this_server_knows_the_reset_token_of_an_id() -> None:
    key = blake2s(b"stateless reset", key=SERVER_KEY).digest()
    issuer = ConnectionIdIssuer(SERVER_KEY)
    assert issuer.reset_token(ID) == blake2s(ID, key=key, digest_size=16).digest()
    assert issuer.reset_token(ID) != issuer.reset_token(b"d" * 16)


def test_a_session_tag_has_the_first_62_bits_of_the_id() -> None:
    assert session_tag(b"\xff" * 8 + bytes(8)) == (1 << 62) - 1
    assert session_tag(bytes(7) + b"\x04" + b"\xff" * 8) == 1

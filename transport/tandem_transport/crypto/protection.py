"""Packet protection: AEAD keys of both directions, key phases, key updates (PROTOCOL.md section 4)."""

import hmac
from hashlib import blake2s
from math import inf
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from tandem_transport.errors import ErrorCode, PeerError
from tandem_transport.parameters import KEY_UPDATE_PACKETS, KEY_UPDATE_PERIOD, PREVIOUS_KEYS_LIFETIME
from tandem_transport.wire.packets import HEADER_SIZE, PacketView, transport_header
from tandem_transport.wire.transport_parameters import CipherSuite

_NONCE: Final = Struct(">IQ")


class PacketKey:
    """The key of one direction in one key phase."""

    __slots__ = ("_cipher_suite", "_secret", "decrypt", "encrypt")

    def __init__(self, secret: bytes, cipher_suite: CipherSuite) -> None:
        self._secret = secret
        self._cipher_suite = cipher_suite
        key = _expand(secret, b"tandem key")
        aead = AESGCM(key) if cipher_suite is CipherSuite.AES_256_GCM else ChaCha20Poly1305(key)
        self.encrypt = aead.encrypt
        """Encrypts (nonce, payload, header) to ciphertext and tag. Packet numbers never repeat, so nonces do not."""
        self.decrypt = aead.decrypt
        """Decrypts (nonce, ciphertext and tag, header); raises InvalidTag where the packet is not authentic."""

    def next(self) -> "PacketKey":
        """The key of the next key phase (RFC 9001 section 6.1)."""
        return PacketKey(_expand(self._secret, b"tandem ku"), self._cipher_suite)


class PacketProtection:
    """The keys of a session, on one end.

    Either end begins a key update after KEY_UPDATE_PACKETS or KEY_UPDATE_PERIOD; the other end
    follows with its next packet. Late packets of the previous phase are read until
    PREVIOUS_KEYS_LIFETIME after the other end has followed. Only then may the next update begin,
    so that the key phase bit always has one meaning (RFC 9001 section 6).
    """

    __slots__ = (
        "_began_at",
        "_is_confirmed",
        "_previous",
        "_previous_until",
        "_receive",
        "_receive_next",
        "_sealed",
        "_send",
        "connection_id",
        "key_phase",
        "updates",
    )

    def __init__(
        self, connection_id: bytes, send_secret: bytes, receive_secret: bytes, cipher_suite: CipherSuite
    ) -> None:
        self.connection_id = connection_id
        self.key_phase = 0
        self.updates = 0
        """Key phases that have ended."""
        self._send = PacketKey(send_secret, cipher_suite)
        self._receive = PacketKey(receive_secret, cipher_suite)
        self._receive_next = self._receive.next()
        self._previous: PacketKey | None = None
        self._previous_until = 0.0
        self._is_confirmed = False
        """A packet of the present key phase has arrived, so the other end has its keys."""
        self._sealed = 0
        """Packets protected in this key phase."""
        self._began_at: float | None = None
        """When this key phase was first used."""

    def seal(self, path_id: int, number: int, payload: bytes) -> bytes:
        """A complete TRANSPORT packet: the header and the encrypted payload."""
        self._sealed += 1
        header = transport_header(self.key_phase, self.connection_id, path_id, len(payload), number)
        return header + self._send.encrypt(_NONCE.pack(path_id, number), payload, header)

    def open(self, packet: PacketView, number: int, *, now: float) -> bytes | None:
        """The payload of a TRANSPORT packet, or None where it is not authentic.

        Raises PeerError where the other end updates its keys sooner than it may.
        """
        if packet.key_phase != self.key_phase:
            return self._open_other_phase(packet, number, now)
        payload = _open(self._receive, packet, number)
        if payload is not None and not self._is_confirmed:
            self._confirm(now)
        return payload

    def _open_other_phase(self, packet: PacketView, number: int, now: float) -> bytes | None:
        self._forget_previous(now)
        if self._previous is not None:
            payload = _open(self._previous, packet, number)
            if payload is not None:
                return payload
        payload = _open(self._receive_next, packet, number)
        if payload is not None:
            if self._began_at is not None and self.updates and now < self._began_at + PREVIOUS_KEYS_LIFETIME:
                raise PeerError(ErrorCode.PROTOCOL_VIOLATION, "a key update before the last one was over")
            self.update_keys(now=now)
            self._confirm(now)
        return payload

    def update_if_due(self, *, now: float) -> None:
        """Begins the next key phase where this one has protected enough packets, or is old enough."""
        self._forget_previous(now)
        if self._began_at is None:
            self._began_at = now
        is_old = now - self._began_at >= KEY_UPDATE_PERIOD
        if (is_old or self._sealed >= KEY_UPDATE_PACKETS) and self.may_update(now=now):
            self.update_keys(now=now)

    def may_update(self, *, now: float) -> bool:
        """Whether the other end has the present keys, and packets of the previous key phase are no longer read."""
        self._forget_previous(now)
        return self._is_confirmed and self._previous is None

    def update_keys(self, *, now: float) -> None:
        """Moves both directions to the next key phase (RFC 9001 section 6)."""
        self._previous, self._previous_until = self._receive, inf
        self._receive = self._receive_next
        self._receive_next = self._receive.next()
        self._send = self._send.next()
        self._is_confirmed = False
        self._sealed, self._began_at = 0, now
        self.key_phase ^= 1
        self.updates += 1

    def on_wake(self, *, now: float) -> None:
        """This end's clock may have stopped while the other end's ran on, so the next update may arrive at once."""
        if self._began_at is not None:
            self._began_at = min(self._began_at, now - PREVIOUS_KEYS_LIFETIME)

    def _forget_previous(self, now: float) -> None:
        """Deletes the previous keys when they expire, so that later access to this process does not reveal them."""
        if self._previous is not None and now > self._previous_until:
            self._previous = None

    def _confirm(self, now: float) -> None:
        self._is_confirmed = True
        self._previous_until = now + PREVIOUS_KEYS_LIFETIME


def _open(key: PacketKey, packet: PacketView, number: int) -> bytes | None:
    data = packet.data
    try:
        return key.decrypt(_NONCE.pack(packet.path_id, number), data[HEADER_SIZE:], data[:HEADER_SIZE])
    except InvalidTag:
        return None


def _expand(secret: bytes, label: bytes) -> bytes:
    """One block of HKDF-Expand (RFC 5869 section 2.3) with BLAKE2s."""
    return hmac.new(secret, label + b"\x01", blake2s).digest()

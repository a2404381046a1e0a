"""Handshake messages: the layer around Noise IK (PROTOCOL.md section 3).

The mac1 of an initiation proves that its sender knows the server's public key; an initiation with
a wrong mac1 gets no answer at all. An answer is never larger than the message that caused it.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2s
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tandem_transport.crypto import noise
from tandem_transport.crypto.protection import PacketProtection
from tandem_transport.errors import DecodeError
from tandem_transport.parameters import CONNECTION_ID_SIZE, PROLOGUE, RESET_TOKEN_SIZE
from tandem_transport.wire.packets import PacketType, PacketView, message
from tandem_transport.wire.transport_parameters import TransportParameters

Randomness = Callable[[int], bytes]
"""A function like os.urandom: returns the given number of unpredictable bytes."""

MAC_SIZE: Final = 16
_SALT_SIZE: Final = 16
_UNTIL_SIZE: Final = 8
_PARAMETERS_SIZE: Final = 64
"""Bytes reserved for transport parameters, zero-padded so that the size of a message reveals nothing."""
_INITIATION_FIXED: Final = 8 + 8 + MAC_SIZE
_RESPONSE_FIXED: Final = CONNECTION_ID_SIZE + RESET_TOKEN_SIZE


class Refusal(IntEnum):
    """Why a server refuses a valid initiation."""

    UNKNOWN_KEY = 1
    """The client's key is not registered, or was revoked."""
    TOO_MANY_SESSIONS = 2
    """The maximum number of client instances with this key is already connected."""
    SERVER_FULL = 3
    DISABLED = 4
    """The server's owner has disabled the client."""
    EXPIRED = 5
    """The time for which the client was registered has passed."""
    QUOTA_USED_UP = 6
    """The client has carried as many bytes as it may in this day or month."""
    VERSION = 7
    """The client knows only versions of the protocol that are older than MIN_VERSION of this server."""


@dataclass(frozen=True, slots=True)
class Established:
    """The result of a successful handshake, on either end."""

    protection: PacketProtection
    reset_token: bytes
    peer_parameters: TransportParameters

    @property
    def max_ack_delay(self) -> float:
        """Seconds by which the peer may delay an acknowledgement."""
        return self.peer_parameters.max_ack_delay


@dataclass(frozen=True, slots=True)
class Challenged:
    """The server does not trust our timestamp; it accepts a new initiation with this token."""

    token: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The server has read our initiation and refuses a session."""

    code: int
    until: int = 0
    """When the reason ends, in seconds since the epoch; 0 where the server does not say."""


@dataclass(frozen=True, slots=True)
class CookieReceived:
    """The server is under load; the client should send the same initiation again with this cookie."""

    cookie: bytes


Answer = Established | Challenged | Refused | CookieReceived


class ClientHandshake:
    """One initiation of a client with its ephemeral key; reads the answers to it."""

    def __init__(
        self,
        *,
        static_private: bytes,
        server_public: bytes,
        parameters: TransportParameters,
        instance_id: bytes,
        timestamp_us: int,
        token: bytes,
        randomness: Randomness,
    ) -> None:
        self.handshake_id = randomness(CONNECTION_ID_SIZE)
        self.paths_with_cookie: set[int] = set()
        """Paths on which this initiation was sent again with a cookie."""
        self._server_public = server_public
        self._parameters = parameters
        self._noise = noise.Initiator(PROLOGUE, static_private, randomness(32), server_public)
        payload = timestamp_us.to_bytes(8, "big") + instance_id + token
        payload += parameters.encode().ljust(_PARAMETERS_SIZE, b"\0")
        body = self._noise.write_initiation(payload)
        unsigned = message(PacketType.INITIATION, self.handshake_id, body + bytes(2 * MAC_SIZE))
        unsigned = unsigned[: -2 * MAC_SIZE]
        self._mac1 = _mac(mac1_key(server_public), unsigned)
        self._authentic = unsigned + self._mac1

    def initiation(self, cookie: bytes | None = None) -> bytes:
        """The INITIATION packet; it has the same bytes on every link, except with a cookie."""
        return self._authentic + (_mac(cookie, self._authentic) if cookie else bytes(MAC_SIZE))

    def read_answer(self, packet: PacketView) -> Answer | None:
        """The server's answer, or None if the packet is not an authentic answer to this initiation."""
        if packet.connection_id != self.handshake_id:
            return None
        try:
            if packet.packet_type is PacketType.RESPONSE:
                return self._read_response(packet.body)
            return self._read_sealed(packet)
        except (noise.NoiseError, InvalidTag, DecodeError):
            return None

    def _read_response(self, body: bytes) -> Established:
        payload, to_server, to_client = self._noise.read_response(body)
        if len(payload) < _RESPONSE_FIXED:
            raise DecodeError("a short response")
        connection_id = payload[:CONNECTION_ID_SIZE]
        protection = PacketProtection(connection_id, to_server, to_client, self._parameters.cipher_suite)
        peer_parameters = TransportParameters.decode(payload[_RESPONSE_FIXED:])
        return Established(protection, payload[CONNECTION_ID_SIZE:_RESPONSE_FIXED], peer_parameters)

    def _read_sealed(self, packet: PacketView) -> Answer | None:
        if packet.packet_type is PacketType.COOKIE:
            return CookieReceived(_open(cookie_key(self._server_public), packet, self._mac1))
        text = _open(self._noise.chaining_key(), packet, self.handshake_id)
        if packet.packet_type is PacketType.CHALLENGE and len(text) == MAC_SIZE:
            return Challenged(text)
        if packet.packet_type is PacketType.REFUSED and len(text) in (1, 1 + _UNTIL_SIZE):
            return Refused(text[0], int.from_bytes(text[1:], "big"))
        return None


class ServerHandshake:
    """An initiation that has arrived. Reading it changes nothing in the server."""

    def __init__(self, static_private: bytes, packet: PacketView) -> None:
        """Reads the initiation. Raises DecodeError where it is malformed or not for this server."""
        self.handshake_id = packet.connection_id
        self._noise = noise.Responder(PROLOGUE, static_private)
        try:
            payload = self._noise.read_initiation(packet.body[: -2 * MAC_SIZE])
        except noise.NoiseError as error:
            raise DecodeError("not an initiation for this server") from error
        if len(payload) < _INITIATION_FIXED:
            raise DecodeError("a short initiation")
        self.client_public = self._noise.remote_static
        self.timestamp_us = int.from_bytes(payload[:8], "big")
        self.instance_id = payload[8:16]
        self.token = payload[16:_INITIATION_FIXED]
        self.parameters = TransportParameters.decode(payload[_INITIATION_FIXED:])

    def accept(
        self,
        connection_id: bytes,
        reset_token: bytes,
        parameters: TransportParameters,
        randomness: Randomness,
    ) -> tuple[bytes, Established]:
        """Accepts the session: returns the RESPONSE packet and the session's keys."""
        payload = connection_id + reset_token + parameters.encode().ljust(_PARAMETERS_SIZE, b"\0")
        body, to_server, to_client = self._noise.write_response(randomness(32), payload)
        protection = PacketProtection(connection_id, to_client, to_server, self.parameters.cipher_suite)
        packet = message(PacketType.RESPONSE, self.handshake_id, body)
        return packet, Established(protection, reset_token, self.parameters)

    def challenge(self, token: bytes, randomness: Randomness) -> bytes:
        """The CHALLENGE packet for an initiation whose timestamp proves nothing."""
        return self._seal(PacketType.CHALLENGE, token, randomness)

    def refuse(self, code: Refusal, randomness: Randomness, *, until: int = 0) -> bytes:
        """The REFUSED packet; only the owner of the client's key can read it.

        `until`: when the reason ends, in seconds since the epoch; 0 where that is not known.
        """
        text = bytes([code]) + (until.to_bytes(_UNTIL_SIZE, "big") if until else b"")
        return self._seal(PacketType.REFUSED, text, randomness)

    def _seal(self, packet_type: PacketType, text: bytes, randomness: Randomness) -> bytes:
        salt, key = randomness(_SALT_SIZE), self._noise.chaining_key()
        return _seal(packet_type, self.handshake_id, key, salt, text, self.handshake_id)


def mac1_key(server_public: bytes) -> bytes:
    """Key of mac1, which everyone who knows the server's public key can compute (WireGuard section 5.4.4)."""
    return blake2s(b"tandem mac1" + server_public).digest()


def cookie_key(server_public: bytes) -> bytes:
    """Key that encrypts cookies on the wire (WireGuard section 5.4.7)."""
    return blake2s(b"tandem cookie" + server_public).digest()


def has_valid_mac1(key: bytes, packet: PacketView) -> bool:
    """Whether an INITIATION was made by someone who knows the server's public key."""
    if len(packet.body) < noise.INITIATION_OVERHEAD + 2 * MAC_SIZE:
        return False
    end = -MAC_SIZE
    return hmac.compare_digest(_mac(key, packet.data[: end - MAC_SIZE]), packet.data[end - MAC_SIZE : end])


def has_mac2(packet: PacketView) -> bool:
    """Whether an INITIATION has a mac2, which claims that its sender got a cookie."""
    return any(packet.data[-MAC_SIZE:])


def has_valid_mac2(cookie: bytes, packet: PacketView) -> bool:
    """Whether an INITIATION comes from an address to which this cookie was sent."""
    return hmac.compare_digest(_mac(cookie, packet.data[:-MAC_SIZE]), packet.data[-MAC_SIZE:])


def cookie_reply(key: bytes, packet: PacketView, cookie: bytes, randomness: Randomness) -> bytes:
    """The COOKIE packet that answers an INITIATION; reading it needs that packet's mac1."""
    mac1 = packet.data[-2 * MAC_SIZE : -MAC_SIZE]
    return _seal(PacketType.COOKIE, packet.connection_id, key, randomness(_SALT_SIZE), cookie, mac1)


def _mac(key: bytes, data: bytes) -> bytes:
    return blake2s(data, key=key, digest_size=MAC_SIZE).digest()


def _seal(
    packet_type: PacketType, handshake_id: bytes, key: bytes, salt: bytes, text: bytes, associated: bytes
) -> bytes:
    # Every salt makes a new key, so the nonce may be constant.
    aead = ChaCha20Poly1305(blake2s(bytes([packet_type]) + salt, key=key).digest())
    return message(packet_type, handshake_id, salt + aead.encrypt(bytes(12), text, associated))


def _open(key: bytes, packet: PacketView, associated: bytes) -> bytes:
    salt, sealed = packet.body[:_SALT_SIZE], packet.body[_SALT_SIZE:]
    aead = ChaCha20Poly1305(blake2s(bytes([packet.packet_type]) + salt, key=key).digest())
    return aead.decrypt(bytes(12), sealed, associated)

"""Noise_IK_25519_ChaChaPoly_BLAKE2s (The Noise Protocol Framework, revision 34).

    <- s
    ...
    -> e, es, s, ss
    <- e, ee, se

Names follow the Noise specification: SymmetricState is in its section 5.2, `e` and `s` are
ephemeral and static keys, `r` is remote. A message that is not authentic raises NoiseError;
that ends the handshake of a `Responder`, but an `Initiator` may read another response.
"""

import copy
import hmac
from hashlib import blake2s

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tandem_transport.parameters import TAG_SIZE

PROTOCOL_NAME = b"Noise_IK_25519_ChaChaPoly_BLAKE2s"
KEY_SIZE = 32

INITIATION_OVERHEAD = KEY_SIZE + KEY_SIZE + TAG_SIZE + TAG_SIZE
"""Bytes of the initiation besides its payload: e, s and its tag, and the payload's tag."""

RESPONSE_OVERHEAD = KEY_SIZE + TAG_SIZE
"""Bytes of the response besides its payload: e and the payload's tag."""


class NoiseError(Exception):
    """A handshake message is not authentic. Always caught inside the transport."""


class SymmetricState:
    """Chaining key, transcript hash and the current cipher key (Noise section 5.2)."""

    def __init__(self, prologue: bytes) -> None:
        self.h = blake2s(PROTOCOL_NAME).digest()
        self.ck = self.h
        self._k = b""
        self._n = 0
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        self.h = blake2s(self.h + data).digest()

    def mix_key(self, input_key_material: bytes) -> None:
        self.ck, self._k = _hkdf(self.ck, input_key_material)
        self._n = 0

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        ciphertext = ChaCha20Poly1305(self._k).encrypt(self._nonce(), plaintext, self.h)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        try:
            plaintext = ChaCha20Poly1305(self._k).decrypt(self._nonce(), ciphertext, self.h)
        except InvalidTag as error:
            raise NoiseError("not authentic") from error
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """The two secrets of the session: initiator to responder, and responder to initiator."""
        return _hkdf(self.ck, b"")

    def _nonce(self) -> bytes:
        self._n += 1
        return bytes(4) + (self._n - 1).to_bytes(8, "little")


class Initiator:
    """The client's side of one handshake."""

    def __init__(self, prologue: bytes, static: bytes, ephemeral: bytes, remote_static: bytes) -> None:
        self._s = X25519PrivateKey.from_private_bytes(static)
        self._e = X25519PrivateKey.from_private_bytes(ephemeral)
        self._rs = remote_static
        self._state = SymmetricState(prologue)
        self._state.mix_hash(remote_static)

    def write_initiation(self, payload: bytes) -> bytes:
        """Writes the initiation (-> e, es, s, ss)."""
        state = self._state
        e = public_bytes(self._e)
        state.mix_hash(e)
        state.mix_key(_dh(self._e, self._rs))
        s = state.encrypt_and_hash(public_bytes(self._s))
        state.mix_key(_dh(self._s, self._rs))
        return e + s + state.encrypt_and_hash(payload)

    def chaining_key(self) -> bytes:
        """The chaining key after the initiation; only the two ends know it."""
        return self._state.ck

    def read_response(self, message: bytes) -> tuple[bytes, bytes, bytes]:
        """Reads the response (<- e, ee, se). Returns the payload and the secrets of `SymmetricState.split`.

        The caller may try another message after a NoiseError: a forged response must not end the handshake.
        """
        if len(message) < RESPONSE_OVERHEAD:
            raise NoiseError("too short")
        state = copy.copy(self._state)
        e = message[:KEY_SIZE]
        state.mix_hash(e)
        state.mix_key(_dh(self._e, e))
        state.mix_key(_dh(self._s, e))
        payload = state.decrypt_and_hash(message[KEY_SIZE:])
        return payload, *state.split()


class Responder:
    """The server's side of one handshake."""

    def __init__(self, prologue: bytes, static: bytes) -> None:
        self._s = X25519PrivateKey.from_private_bytes(static)
        self._re = self._rs = b""
        self._state = SymmetricState(prologue)
        self._state.mix_hash(public_bytes(self._s))

    @property
    def remote_static(self) -> bytes:
        """The client's public key, after its initiation was read."""
        return self._rs

    def read_initiation(self, message: bytes) -> bytes:
        """Reads the initiation (-> e, es, s, ss). Returns the payload."""
        if len(message) < INITIATION_OVERHEAD:
            raise NoiseError("too short")
        state = self._state
        self._re = message[:KEY_SIZE]
        end_of_s = KEY_SIZE + KEY_SIZE + TAG_SIZE
        state.mix_hash(self._re)
        state.mix_key(_dh(self._s, self._re))
        self._rs = state.decrypt_and_hash(message[KEY_SIZE:end_of_s])
        state.mix_key(_dh(self._s, self._rs))
        return state.decrypt_and_hash(message[end_of_s:])

    def chaining_key(self) -> bytes:
        """The chaining key after the initiation; only the two ends know it."""
        return self._state.ck

    def write_response(self, ephemeral: bytes, payload: bytes) -> tuple[bytes, bytes, bytes]:
        """Writes the response (<- e, ee, se). Returns the message and the secrets of `SymmetricState.split`."""
        state = self._state
        e = X25519PrivateKey.from_private_bytes(ephemeral)
        state.mix_hash(public_bytes(e))
        state.mix_key(_dh(e, self._re))
        state.mix_key(_dh(e, self._rs))
        message = public_bytes(e) + state.encrypt_and_hash(payload)
        return message, *state.split()


def public_bytes(private: X25519PrivateKey) -> bytes:
    """The 32 bytes of the public key of a private key."""
    return private.public_key().public_bytes_raw()


def public_key(private: bytes) -> bytes:
    """The public key of a private key of 32 bytes."""
    return public_bytes(X25519PrivateKey.from_private_bytes(private))


def _dh(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:  # a point of low order gives all zeros
        raise NoiseError("invalid public key") from error


def _hkdf(chaining_key: bytes, input_key_material: bytes) -> tuple[bytes, bytes]:
    """HKDF with two outputs (Noise section 4.3)."""
    secret = hmac.new(chaining_key, input_key_material, blake2s).digest()
    first = hmac.new(secret, b"\x01", blake2s).digest()
    return first, hmac.new(secret, first + b"\x02", blake2s).digest()

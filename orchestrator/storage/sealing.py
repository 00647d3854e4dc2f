"""Seals secrets at rest: AES-256-GCM, the key's id in front, bound to the row and column they belong to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.errors import Misconfigured

_NONCE_BYTES = 12
_KEY_ID_BYTES = 4


class Sealer:
    """Seals and opens with one key. A ciphertext moved to another row or column does not open.

    Args:
        key: 32 bytes, from `ORCH_SECRET_KEY` or the data folder.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise Misconfigured("the secret key must be 32 bytes", hint="make one with: openssl rand -base64 32")
        self._aead = AESGCM(key)
        self._key_id = hashlib.sha256(b"orchestrator key id" + key).digest()[:_KEY_ID_BYTES]
        self._derived_from = hashlib.sha256(b"orchestrator derived keys" + key).digest()
        self._mac_key = hashlib.sha256(b"orchestrator fingerprints" + key).digest()

    @classmethod
    def from_base64(cls, text: str) -> Sealer:
        """Read the key as `ORCH_SECRET_KEY` holds it."""
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except ValueError:  # not the alphabet, not the length, or not even ASCII
            raise Misconfigured("ORCH_SECRET_KEY is not base64", hint="openssl rand -base64 32") from None

    def seal(self, plain: str, *, column: str, row: UUID | str) -> bytes:
        """Return the ciphertext: key id ‖ nonce ‖ sealed bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._key_id + nonce + self._aead.encrypt(nonce, plain.encode(), _bound_to(column, row))

    def open(self, sealed: bytes, *, column: str, row: UUID | str) -> str:
        """Return what was sealed.

        Raises:
            Misconfigured: sealed with another key, or the bytes do not belong here.
        """
        if sealed[:_KEY_ID_BYTES] != self._key_id:
            raise Misconfigured(
                "a secret in the database was sealed with another key",
                code="wrong_secret_key",
                hint="start with the ORCH_SECRET_KEY or the data folder that it was stored with",
            )
        nonce = sealed[_KEY_ID_BYTES : _KEY_ID_BYTES + _NONCE_BYTES]
        try:
            plain = self._aead.decrypt(nonce, sealed[_KEY_ID_BYTES + _NONCE_BYTES :], _bound_to(column, row))
        except (InvalidTag, ValueError):  # a ValueError: too short even for its nonce
            raise Misconfigured("a sealed secret does not belong to its row", code="seal_broken") from None
        return plain.decode()

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for another purpose: the same from the same key, and telling nothing about it."""
        return hmac.new(self._derived_from, purpose.encode(), hashlib.sha256).digest()

    def fingerprint(self, *parts: str) -> str:
        """Return a keyed hash: equal for equal secrets, telling nothing about them."""
        return hmac.new(self._mac_key, "\x00".join(parts).encode(), hashlib.sha256).hexdigest()


def _bound_to(column: str, row: UUID | str) -> bytes:
    return f"{column}:{row}".encode()

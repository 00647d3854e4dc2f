"""Signs checkpoints, and tells whether a signature is good: Ed25519."""

from __future__ import annotations

import base64

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from orchestrator.domain.checkpoints import key_id
from orchestrator.errors import Misconfigured

SEED_BYTES = 32


class Signer:
    """Signs with one key.

    Args:
        seed: its private half, 32 bytes: from `ORCH_SIGNING_KEY`, or derived from the secret key.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise Misconfigured(f"the signing key must be {SEED_BYTES} bytes", hint="openssl rand -base64 32")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()
        self.key_id = key_id(self.public_key)

    @classmethod
    def from_base64(cls, text: str) -> Signer:
        """Read the key as `ORCH_SIGNING_KEY` holds it."""
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except ValueError:  # not the alphabet, not the length, or not even ASCII
            raise Misconfigured("ORCH_SIGNING_KEY is not base64", hint="openssl rand -base64 32") from None

    def sign(self, content: bytes) -> bytes:
        """Return the signature, 64 bytes: the same for the same content."""
        return self._key.sign(content)


def is_signed(public_key: bytes, content: bytes, signature: bytes) -> bool:
    """Tell whether a signature is the key's over this content. Never raises."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True

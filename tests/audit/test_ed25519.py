"""The stand-alone verifier's own Ed25519: the RFC's vectors, what a strict reading refuses, and a second opinion."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit.worlds import public, verify_signature
from tools.verify_audit import IDENTITY, L, P, compress, decompress, is_signature

#: RFC 8032, section 7.1: public key, message, signature.
VECTORS = {
    "TEST 1": (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        b"",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595b"
        "be24655141438e7a100b",
    ),
    "TEST 2": (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        b"\x72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb430"
        "2aeeb00d291612bb0c00",
    ),
    "TEST 3": (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        b"\xaf\x82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716e"
        "d28dc027beceea1ec40a",
    ),
    "TEST SHA(abc)": (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").digest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138a"
        "c17ad9bef1177331a704",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_of_the_rfc_verifies_and_with_one_bit_changed_does_not(name: str) -> None:
    key, message, signature = bytes.fromhex(VECTORS[name][0]), VECTORS[name][1], bytes.fromhex(VECTORS[name][2])
    assert is_signature(key, message, signature)
    assert not is_signature(key, message + b"\x00", signature)
    for bit in range(0, 512, 7):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert not is_signature(key, message, bytes(changed)), bit


def test_another_text_of_the_same_signature_is_refused() -> None:
    key, message, signature = bytes.fromhex(VECTORS["TEST 3"][0]), VECTORS["TEST 3"][1], VECTORS["TEST 3"][2]
    r, s = bytes.fromhex(signature)[:32], int.from_bytes(bytes.fromhex(signature)[32:], "little")
    for times in range(1, 15):
        assert not is_signature(key, message, r + (s + times * L).to_bytes(32, "little"))


@pytest.mark.parametrize(("key_bytes", "signature_bytes"), [(31, 64), (33, 64), (0, 64), (32, 63), (32, 65), (32, 0)])
def test_wrong_lengths_are_refused(key_bytes: int, signature_bytes: int) -> None:
    assert not is_signature(bytes(key_bytes), b"", bytes(signature_bytes))


def test_a_point_has_one_encoding() -> None:
    canonical = [y for y in range(19) if decompress(y.to_bytes(32, "little")) is not None]
    assert len(canonical) > 3, "so that the next line can fail"
    assert all(decompress((P + y).to_bytes(32, "little")) is None for y in range(19))
    assert decompress((1 | 1 << 255).to_bytes(32, "little")) is None, "minus zero"
    assert decompress((P - 1 | 1 << 255).to_bytes(32, "little")) is None, "minus zero"


def test_a_key_of_small_order_signs_nothing() -> None:
    """With it R = the identity and S = 0 would be a signature of everything."""
    signature = compress(IDENTITY) + bytes(32)
    for y in (1, P - 1, 0):
        assert decompress(y.to_bytes(32, "little")) is not None
        assert not is_signature(y.to_bytes(32, "little"), b"anything", signature)


def test_a_seeded_thousand_of_signatures_is_judged_as_by_the_library_of_the_product() -> None:
    random = Random(8032)
    keys = [Ed25519PrivateKey.from_private_bytes(random.randbytes(32)) for _ in range(4)]
    good = 0
    for _ in range(1000):
        key, message = random.choice(keys), random.randbytes(random.randrange(200))
        signature = bytearray(key.sign(message))
        if random.random() < 0.5:
            signature[random.randrange(64)] ^= 1 << random.randrange(8)
        judged = is_signature(public(key), message, bytes(signature))
        assert judged == verify_signature(public(key), message, bytes(signature))
        good += judged
    assert 400 < good < 600

"""Passphrases for streams, which pyrage has only for files that are wholly in memory.

The payload of an age file (https://c2sp.org/age) does not depend on who may open it, only on the
file key that the header wraps. So a stream for a passphrase is one for a key made up for it, under
another header; and pyrage decrypts one under a header for such a key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

import pyrage  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from palatine.bundle.age.head import VERSION, Header, decoded, encoded, parse
from palatine.bundle.age.keys import Passphrase
from palatine.errors import Malformed, NoKey, Refused

# age takes 2^18 rounds; a header may not make us take more than 1 GiB of memory.
ROUNDS, MOST_ROUNDS = 18, 20
# Of the code at the end of a header: a blank, 43 characters, a newline.
_CODE = 45
_X25519, _SCRYPT = b"age-encryption.org/v1/X25519", b"age-encryption.org/v1/scrypt"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


class Pivot:
    """A key made up for one stream: pyrage works for it, and nobody else ever sees it."""

    def __init__(self) -> None:
        self.identity = pyrage.x25519.Identity.generate()
        self.recipient = self.identity.to_public()
        # Bech32 (BIP 173) of a key that was made here: nobody could have misspelt it.
        number = 0
        for letter in str(self.identity).lower().rpartition("1")[2][:-6]:
            number = number << 5 | _BECH32.index(letter)
        secret = (number >> 4).to_bytes(32, "big")
        self._secret = X25519PrivateKey.from_private_bytes(secret)
        self._public = self._secret.public_key().public_bytes_raw()

    def unwrap(self, header: Header) -> bytes:
        """Return the file key of a header that pyrage made for this key."""
        stanza = next(one for one in header.stanzas if one.kind == "X25519")
        share = base64.b64decode(stanza.arguments[0] + b"=")
        shared = self._secret.exchange(X25519PublicKey.from_public_bytes(share))
        key = _derived(shared, share + self._public, _X25519)
        return ChaCha20Poly1305(key).decrypt(bytes(12), stanza.body, None)

    def wrap(self, file_key: bytes) -> bytes:
        """Return a header that gives this key the file key."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        key = _derived(ephemeral.exchange(self._secret.public_key()), share + self._public, _X25519)
        return _header(b"X25519 " + encoded(share), key, file_key)


class Rewritten:
    """Puts a header for a passphrase in the place of the one that pyrage writes for the pivot."""

    def __init__(self, passphrase: Passphrase, rounds: int) -> None:
        self._passphrase, self._rounds = passphrase, rounds
        self.pivot = Pivot()
        self._held: bytes | None = b""

    def feed(self, data: bytes) -> bytes:
        """Return what goes into the file for what pyrage wrote."""
        if self._held is None:
            return data
        self._held += data
        parsed = parse(self._held, "the encrypted stream")
        if parsed is None:
            return b""
        header, size = parsed
        file_key, rest = self.pivot.unwrap(header), self._held[size:]
        self._held = None
        salt = secrets.token_bytes(16)
        key = _stretched(self._passphrase.secret, salt, self._rounds)
        return _header(b"scrypt %s %d" % (encoded(salt), self._rounds), key, file_key) + rest


def unwrap(header: Header, passphrase: Passphrase | None, name: str) -> bytes:
    """Return the file key of a header for a passphrase.

    Raises NoKey, Malformed for a header that was changed, Refused if it asks for too much memory.
    """
    if len(header.stanzas) != 1 or len(header.stanzas[0].arguments) != 2:
        raise Malformed(f"{name}: a passphrase beside other recipients, which age does not allow")
    (stanza,) = header.stanzas
    salt, rounds = decoded(stanza.arguments[0], name), stanza.arguments[1]
    if len(salt) != 16 or len(stanza.body) != 32 or not re.fullmatch(rb"[1-9][0-9]?", rounds):
        raise Malformed(f"{name}: the age header is damaged", "fetch the file again")
    if int(rounds) > MOST_ROUNDS:
        raise Refused(
            f"{name}: to check a passphrase it asks for {2 ** (int(rounds) - 20):,} GiB of memory",
            "if you trust it, decrypt it with age -d first",
        )
    if passphrase is None:
        raise NoKey(f"{name} is encrypted with a passphrase", "--passphrase-file FILE names it")
    key = _stretched(passphrase.secret, salt, int(rounds))
    try:
        file_key = ChaCha20Poly1305(key).decrypt(bytes(12), stanza.body, None)
    except InvalidTag as error:
        raise NoKey(
            f"{name}: the passphrase does not open it", "or its header is damaged: try a copy of it"
        ) from error
    # pyrage sees another header than this one, so its code is checked here.
    if not hmac.compare_digest(_code(file_key, header.raw[:-_CODE]), header.raw[-_CODE:]):
        raise Malformed(f"{name}: the age header was changed", "fetch the file again")
    return file_key


def _header(recipient: bytes, key: bytes, file_key: bytes) -> bytes:
    """Return a header with one stanza."""
    body = encoded(ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None))
    head = VERSION + b"-> " + recipient + b"\n" + body + b"\n---"
    return head + _code(file_key, head)


def _code(file_key: bytes, head: bytes) -> bytes:
    """Return what follows the `---` of a header: the code over all before it."""
    return b" " + encoded(hmac.digest(_derived(file_key, b"", b"header"), head, "sha256")) + b"\n"


def _derived(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, purpose).derive(secret)


def _stretched(passphrase: bytes, salt: bytes, rounds: int) -> bytes:
    most = (1 << rounds) * 1024 + (1 << 20)
    salt = _SCRYPT + salt
    return hashlib.scrypt(passphrase, salt=salt, n=1 << rounds, r=8, p=1, maxmem=most, dklen=32)

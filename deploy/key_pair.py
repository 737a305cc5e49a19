"""Makes the key pair with which models are signed (Ed25519, RFC 8032): `python3 -m deploy.key_pair` prints one.

The standard library alone, which can't do it itself: deploy.sh makes the keys before there is a virtual environment.
Nothing is signed here, and no time of it tells anybody anything; what signs and checks is libsodium.
"""

import hashlib
import secrets
import sys

# RFC 8032, section 5.1: the field, the curve -x² + y² = 1 + d x² y², and its base point.
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    4 * pow(5, -1, P) % P,
)
Point = tuple[int, int]


def signing_key() -> str:
    """Return a new secret half: 64 hexadecimal digits."""
    return secrets.token_hex(32)


def public_key(signing_key: str) -> str:
    """Return the other half of a signing key, 64 hexadecimal digits, too; raises ValueError for what is no such key."""
    seed = bytes.fromhex(signing_key)
    if len(seed) != 32:
        raise ValueError("a signing key has 64 hexadecimal digits")
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    scalar = scalar & (2**254 - 8) | 2**254
    x, y = _multiplied(BASE, scalar)
    return (y | (x & 1) << 255).to_bytes(32, "little").hex()


def _multiplied(point: Point, times: int) -> Point:
    found = (0, 1)
    while times:
        if times & 1:
            found = _sum(found, point)
        point = _sum(point, point)
        times >>= 1
    return found


def _sum(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def main() -> int:
    """Print a new pair, as settings."""
    secret = signing_key()
    sys.stdout.write(f"MODEL_SIGNING_KEY={secret}\nMODEL_PUBLIC_KEY={public_key(secret)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Key pairs, which deploy makes without a library, are those of libsodium."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from deploy.key_pair import public_key, signing_key


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_a_public_key_is_the_one_that_libsodium_finds(seed: bytes) -> None:
    assert public_key(seed.hex()) == bytes(SigningKey(seed).verify_key).hex()


def test_each_signing_key_is_another() -> None:
    assert len({signing_key() for _ in range(20)}) == 20


@pytest.mark.parametrize("text", ["", "00", "0" * 63, "0" * 66, "g" * 64])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        public_key(text)

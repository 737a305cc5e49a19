"""How much of anything is taken, wherever it comes in."""

from typing import Annotated

from msgspec import Meta

MAX_TEXT_CHARACTERS = 100_000
MAX_BATCH_TEXTS = 10_000
# With an explanation an answer can be a hundred times as long as its text, and has to fit into a frame of a stream.
MAX_EXPLAINED_CHARACTERS = 10_000
MAX_EXPLAINED_BATCH_CHARACTERS = 100_000
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_EMPTY_BODY_BYTES = 64 * 1024  # where nothing is read of a body
MAX_ID_CHARACTERS = 200
MAX_SOURCE_CHARACTERS = 100
# How much of a message that can't be used is kept; the whole is still in its stream, at its offset.
MAX_PARKED_CHARACTERS = 10_000
MAX_REASON_CHARACTERS = 1_000

Text = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_TEXT_CHARACTERS})]
"""A text as schemas show it; what reads one asks `within_limit`, which says how long it is."""


def within_limit(text: str, *, explain: bool = False) -> str:
    """Return `text`; raises TextTooLong. explain: whether its answer is to be explained."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise TextTooLong(str(len(text)))
    if explain and len(text) > MAX_EXPLAINED_CHARACTERS:
        raise TextTooLong(str(len(text)), f"at most {MAX_EXPLAINED_CHARACTERS} can be explained")
    return text


class TextTooLong(ValueError):
    """A text has more characters than MAX_TEXT_CHARACTERS, or than can be explained."""

    def __init__(self, characters: str, limit: str = f"at most {MAX_TEXT_CHARACTERS} are allowed") -> None:
        """characters: how many it has, in words or digits. limit: how many it may have, in words."""
        super().__init__(f"has {characters} characters; {limit}")

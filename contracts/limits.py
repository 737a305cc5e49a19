"""How much of anything is taken, wherever it comes in."""

MAX_TEXT_CHARACTERS = 100_000
MAX_BATCH_TEXTS = 10_000
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_EMPTY_BODY_BYTES = 64 * 1024  # where nothing is read of a body
MAX_ID_CHARACTERS = 200
MAX_SOURCE_CHARACTERS = 100
# How much of a message that can't be used is kept; the whole is still in its stream, at its offset.
MAX_PARKED_CHARACTERS = 10_000
MAX_REASON_CHARACTERS = 1_000


def within_limit(text: str) -> str:
    """Return `text`; raises TextTooLong."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise TextTooLong(str(len(text)))
    return text


class TextTooLong(ValueError):
    """A text has more characters than MAX_TEXT_CHARACTERS."""

    def __init__(self, characters: str) -> None:
        """characters: how many it has, in words or digits."""
        super().__init__(f"has {characters} characters; at most {MAX_TEXT_CHARACTERS} are allowed")

"""Labelled texts as people send them, over HTTP and by stream."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from contracts.codec import Reader
from contracts.limits import MAX_ID_CHARACTERS, MAX_SOURCE_CHARACTERS

Id = Annotated[str, Meta(max_length=MAX_ID_CHARACTERS)] | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What a sender may name something by."""

_VALUES = {"0": 0, "1": 1, "negative": 0, "positive": 1, "neg": 0, "pos": 1}


class LabelExample(Struct, frozen=True, omit_defaults=True):
    """A text and its label as `parse_label` reads it; who says so, and the sender's own id for it."""

    text: str
    label: int | str
    source: Annotated[str, Meta(min_length=1, max_length=MAX_SOURCE_CHARACTERS)] | UnsetType = UNSET
    id: Id | None = None


read_label_example = Reader(LabelExample)


def parse_label(value: object) -> int:
    """Return 0 or 1 for 0, 1, "0", "1", "negative", "positive", "neg" or "pos"; raises ValueError."""
    if not isinstance(value, bool) and str(value).strip().lower() in _VALUES:
        return _VALUES[str(value).strip().lower()]
    raise ValueError(f'the label must be 0, 1, "negative" or "positive", not {value!r}')

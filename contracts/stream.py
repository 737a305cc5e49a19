"""Messages of the streams: reviews, answers, what could not be used; how many wait. Labels: contracts.retrain."""

from msgspec import UNSET, Struct, UnsetType

from contracts.codec import Reader
from contracts.limits import Text
from contracts.predict import Contribution
from contracts.retrain import Id


class ReviewMessage(Struct, frozen=True):
    """A text to be scored, the sender's own id for it, and whether the answer is to be explained."""

    text: Text
    id: Id | UnsetType = UNSET
    explain: bool = False


class ReviewAnswer(Struct, frozen=True, kw_only=True):
    """The answer to a review; offset: where in its stream it stood, None in a queue.

    log_odds: None where a release that did not keep them has answered before. words, bias: see `Scored`.
    """

    id: str | int
    prediction: str
    probability: float
    log_odds: float | None = None
    words: list[Contribution] | UnsetType = UNSET
    bias: float | UnsetType = UNSET
    model: str
    offset: int | None


class Rejected(Struct, frozen=True, kw_only=True):
    """A message that can't be used, and why.

    body: its beginning, with U+FFFD for what is not UTF-8; size_bytes: of the whole.
    """

    id: str
    reason: str
    body: str
    size_bytes: int
    offset: int
    message_id: str | None
    correlation_id: str | None


class Lag(Struct, frozen=True):
    """How many messages of a stream, or of a partition of one, the bridge has not done."""

    stream: str
    messages: int


class BridgeProgress(Struct, frozen=True):
    """How far a bridge is with each stream that it reads, and how many messages it has rejected since it started."""

    lag: list[Lag]
    rejected_messages: int


read_review = Reader(ReviewMessage)
read_answer = Reader(ReviewAnswer)
read_rejected = Reader(Rejected)

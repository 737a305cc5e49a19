"""Bad messages: parked in the records and the stream `rejected`, with the reason, so that they never block the rest."""

from collections.abc import Iterable, Sequence

from contracts.codec import encode, extended
from contracts.limits import MAX_PARKED_CHARACTERS
from contracts.names import REJECTED
from contracts.records import RejectedRecord
from contracts.stream import Rejected
from messages.ports import BrokerUnavailable, Message, Outgoing, Publisher
from process.retry import Retry
from records import Records, RecordsUnavailable, now

Bad = tuple[Message, str]
"""A message, and why it can't be used."""


class BadMessage(Exception):
    """A message can never be used; says why."""


def park(bad: Sequence[Bad], records: Records, publisher: Publisher, retry: Retry, also: Iterable[Outgoing]) -> None:
    """Put bad messages into the records and then into the stream `rejected`; publish `also` with them.

    Raises Abandoned.
    """
    notices = [(_notice(message, reason), message.correlation_id) for message, reason in bad]
    received_at = now()
    parked = [extended(notice, RejectedRecord, received_at=received_at) for notice, _ in notices]
    retry(lambda: records.write_rejected(parked), RecordsUnavailable)
    outgoing = [Outgoing(REJECTED, encode(notice), correlation_id) for notice, correlation_id in notices]
    outgoing += also
    retry(lambda: publisher.publish(outgoing), BrokerUnavailable)


def _notice(message: Message, reason: str) -> Rejected:
    return Rejected(
        id=message.key,
        reason=reason,
        body=message.body.decode(errors="replace")[:MAX_PARKED_CHARACTERS],
        size_bytes=len(message.body),
        offset=message.position,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
    )

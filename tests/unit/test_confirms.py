"""Every message is counted at its first answer, however the broker answers."""

from hypothesis import given
from hypothesis import strategies as st

from messages.confirms import Batch, Confirms

ANSWERS = st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.booleans()), max_size=40)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=5), ANSWERS)
def test_each_message_is_counted_once(sizes: list[int], answers: list[tuple[int, bool, bool]]) -> None:
    confirms, batches = Confirms(), [Batch(size) for size in sizes]
    tags: list[set[int]] = []
    refused = [0] * len(sizes)
    for batch, size in zip(batches, sizes, strict=True):
        confirms.sent(batch)
        first = sum(map(len, tags)) + 1
        tags.append(set(range(first, first + size)))
    for tag, multiple, is_refused in answers:
        complete = False
        for number, waiting in enumerate(tags):
            answered = {one for one in waiting if one == tag or (multiple and one < tag)}
            waiting -= answered
            refused[number] += len(answered) if is_refused else 0
            complete = complete or bool(answered and not waiting)
        assert confirms.answered(tag, multiple=multiple, refused=is_refused) == complete
        assert [batch.remaining for batch in batches] == [len(waiting) for waiting in tags]
        assert [batch.refused for batch in batches] == refused


def test_a_batch_that_is_sent_later_has_the_next_tags() -> None:
    confirms, first, second = Confirms(), Batch(2), Batch(1)
    confirms.sent(first)
    assert confirms.answered(2, multiple=True, refused=False)
    confirms.sent(second)
    assert not confirms.answered(2, multiple=True, refused=False)
    assert confirms.answered(3, multiple=False, refused=True)
    assert (first.remaining, first.refused, second.remaining, second.refused) == (0, 0, 0, 1)

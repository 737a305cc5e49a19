"""Every message is counted at its first answer, however the broker answers."""

from hypothesis import given
from hypothesis import strategies as st

from messages.confirms import Batch, Confirms

ANSWERS = st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.booleans()), max_size=40)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=5), ANSWERS)
def test_each_message_has_its_first_answer(sizes: list[int], answers: list[tuple[int, bool, bool]]) -> None:
    confirms, batches = Confirms(), [Batch(size) for size in sizes]
    tags: list[set[int]] = []
    firsts: list[int] = []
    refused: list[set[int]] = [set() for _ in sizes]
    for batch, size in zip(batches, sizes, strict=True):
        assert batch.unanswered == set(range(size)), "it is not sent"
        confirms.sent(batch)
        firsts.append(sum(map(len, tags)) + 1)
        tags.append(set(range(firsts[-1], firsts[-1] + size)))
    for tag, multiple, is_refused in answers:
        complete = False
        for waiting, first, bad in zip(tags, firsts, refused, strict=True):
            answered = {one for one in waiting if one == tag or (multiple and one < tag)}
            waiting -= answered
            bad |= {one - first for one in answered} if is_refused else set()
            complete = complete or bool(answered and not waiting)
        assert confirms.answered(tag, multiple=multiple, refused=is_refused) == complete
        assert [batch.remaining for batch in batches] == [len(waiting) for waiting in tags]
        assert [batch.refused for batch in batches] == refused
        assert [batch.unanswered for batch in batches] == [
            {one - first for one in waiting} for waiting, first in zip(tags, firsts, strict=True)
        ]


def test_a_batch_that_is_sent_later_has_the_next_tags() -> None:
    confirms, first, second = Confirms(), Batch(2), Batch(1)
    confirms.sent(first)
    assert confirms.answered(2, multiple=True, refused=False)
    confirms.sent(second)
    assert not confirms.answered(2, multiple=True, refused=False)
    assert confirms.answered(3, multiple=False, refused=True)
    assert (first.remaining, first.refused, second.remaining, second.refused) == (0, set(), 0, {0})


def test_what_came_back_may_be_of_any_batch_with_that_queue_that_waits_for_an_answer() -> None:
    confirms, batches = Confirms(), [Batch(1, {"a", "b"}), Batch(1, {"a"}), Batch(1, {"b"})]
    for batch in batches:
        confirms.sent(batch)
    confirms.answered(2, multiple=False, refused=False)
    confirms.came_back("a")
    assert [batch.returned for batch in batches] == [{"a"}, set(), set()]

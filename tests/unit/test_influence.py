"""What a label may count for: no more than a text of usual length, exactly, and the same when it is taken back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.manifest import Bound
from sentiment.counts import count_texts
from sentiment.influence import MOVED_CHARACTERS, UNIT, moved, usual, within
from sentiment.packing import pack, unpack
from sentiment.trainers import nb_logistic
from sentiment.trainers.multinomial_nb import train
from tests.models import ABOUT, equal, labelled, taken_back
from tests.unit.texts import CORPORA, LABELLED

BOUNDS = st.builds(Bound, st.integers(1, 20), st.integers(1, 5))
WEIGHTS = st.integers(1, 50 * 1024).map(lambda parts: parts / 1024)
Examples = list[tuple[str, int]]


def test_usual_is_what_all_but_a_hundredth_of_the_texts_stay_within() -> None:
    texts = [f"{'good ' * (1 + number % 3)}film number{number}" for number in range(300)]
    assert usual(count_texts([*texts, "bad " * 1_000, " ".join(f"w{n}" for n in range(1_000))])) == Bound(5, 3)
    assert usual(count_texts([])) is None
    assert usual(count_texts(["", "good"])) == Bound(1, 1), "one word at least, or nothing could be learned"


def test_a_text_within_the_bound_counts_as_it_is() -> None:
    texts = count_texts(["good film good", "bad"])
    same = within(texts, Bound(3, 2)).occurrences.toarray()
    assert same.tolist() == texts.occurrences.toarray().tolist() == within(texts, None).occurrences.toarray().tolist()


def test_words_of_a_long_text_share_what_it_counts_for() -> None:
    texts = count_texts([" ".join(f"w{n}" for n in range(100))])
    assert within(texts, Bound(25, 2)).occurrences.toarray().tolist() == [[0.25] * 100]


@settings(max_examples=100, deadline=None)
@given(st.lists(LABELLED, min_size=1, max_size=8), BOUNDS)
def test_no_text_counts_for_more_than_the_bound(examples: Examples, bound: Bound) -> None:
    found = within(count_texts(text for text, _ in examples), bound).occurrences.toarray()
    assert (found <= bound.times).all()
    assert (found.sum(axis=1) <= bound.words).all()
    assert (found * UNIT == np.round(found * UNIT)).all(), "in units that add up exactly"


@settings(max_examples=100, deadline=None)
@given(CORPORA, st.lists(LABELLED, max_size=8), BOUNDS, WEIGHTS)
def test_taking_back_what_was_counted_within_a_bound_is_exact(
    corpus: Examples, more: Examples, bound: Bound, weight: float
) -> None:
    model = train(*zip(*corpus, strict=True))
    texts = count_texts(text for text, _ in more)
    learned = labelled(texts, [label for _, label in more], bound=bound, weight=weight)
    assert equal(taken_back(learned, learned.learned_by(model)), model)


@settings(max_examples=40, deadline=None)
@given(CORPORA, st.lists(LABELLED, max_size=8), BOUNDS, WEIGHTS)
def test_it_is_exact_for_a_trainer_that_asks_only_whether_a_text_has_a_term(
    corpus: Examples, more: Examples, bound: Bound, weight: float
) -> None:
    model = nb_logistic.train(*zip(*corpus * 3, strict=True))
    texts = count_texts([text for text, _ in more], model.features)
    learned = labelled(texts, [label for _, label in more], bound=bound, weight=weight)
    assert equal(taken_back(learned, learned.learned_by(model)), model)


def test_there_a_text_of_more_terms_counts_for_its_share() -> None:
    model = nb_logistic.train(["good film", "bad film"] * 3, [1, 0] * 3)
    texts = [
        "",
        "film film film",
        "a good one",
        " ".join(f"w{n}" for n in range(8)),
        "x" + " x".join(map(str, range(5_000))),
    ]
    learned = labelled(count_texts(texts, model.features), [0] * len(texts), bound=Bound(4, 1), weight=2)
    updated = learned.learned_by(model)
    assert updated.examples.weights[len(model.examples) :].tolist() == [2, 2, 2, 1], "nothing is left of the last one"
    assert "x17" not in updated.vocabulary
    assert equal(unpack(pack(updated, ABOUT)), updated)
    assert equal(taken_back(learned, updated), model)


@settings(max_examples=50, deadline=None)
@given(CORPORA, st.lists(LABELLED, max_size=8), BOUNDS)
def test_the_order_of_bounded_updates_does_not_matter(corpus: Examples, more: Examples, bound: Bound) -> None:
    model = train(*zip(*corpus, strict=True))
    one_by_one = model
    for text, label in reversed(more):
        one_by_one = labelled(count_texts([text]), [label], bound=bound).learned_by(one_by_one)
    together = labelled(count_texts(text for text, _ in more), [label for _, label in more], bound=bound)
    assert equal(one_by_one, together.learned_by(model))


def test_the_words_that_moved_most_come_first_new_and_lost_ones_too() -> None:
    common = "film " * 10_000
    before = train([f"good {common}", f"bad {common}", "odd odd"], [1, 0, 0])
    after = train([f"good {common}", f"bad {common}", "superb " * 50, f"{'x' * 100} " * 40], [1, 0, 1, 1])
    found = moved(before, after)
    assert [each.word for each in found[:2]] == ["superb", "x" * MOVED_CHARACTERS]
    assert found[0].before == 0
    assert found[0].after == pytest.approx(dict(zip(after.vocabulary, after.log_odds(), strict=True))["superb"])
    assert [(each.word, each.after) for each in found[2:3]] == [("odd", 0)]
    assert [abs(each.after - each.before) for each in found] == sorted(
        (abs(each.after - each.before) for each in found), reverse=True
    )
    assert len(moved(before, after, 3)) == 3

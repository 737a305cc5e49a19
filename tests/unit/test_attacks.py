"""Labels that mean harm: whatever comes, the model is never far below the best that its line was, and honest labels
are learned beside it.
"""

import os
import random
from collections.abc import Callable, Iterable
from functools import cache

import pytest

from contracts.limits import MAX_TEXT_CHARACTERS
from datasets import DataError, load_corpus
from functions.retrain.settings import Settings
from records.labels import Label
from sentiment.artifact import Artifact
from sentiment.calibration import probability
from sentiment.counts import count_texts
from sentiment.gate import right
from sentiment.linear import LinearModel
from sentiment.text import Corpus
from sentiment.training import train_artifact
from tests.lines import Line

MOST_BEHIND_POINTS = 1.5
FIRST_TEXTS = 7_000
"""Of the starter sentences, those that the first model has; the others come as labels."""
Examples = list[tuple[str, int]]
Harm = Callable[[Examples], Examples]


@pytest.fixture(scope="module")
def starter() -> Examples:
    try:
        corpus = load_corpus("starter")
    except DataError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    examples = [*zip(corpus.texts, corpus.labels, strict=True)]
    random.Random(13).shuffle(examples)
    return examples


Firsts = Callable[[str], Artifact]


@pytest.fixture(scope="module")
def first(starter: Examples) -> Firsts:
    """The first model by the name of its trainer."""
    texts, labels = zip(*starter[:FIRST_TEXTS], strict=True)
    corpus = Corpus("starter", [*texts], [*labels])
    return cache(lambda trainer: train_artifact(corpus, holdout_share=0.1, trainer=trainer))


@pytest.fixture
def line(first: Firsts) -> Line:
    return Line.of(first("multinomial-nb"))


@pytest.fixture
def honest(starter: Examples) -> Examples:
    return starter[FIRST_TEXTS:]


def labels(examples: Iterable[tuple[str, int]], principal: str = "eve") -> list[Label]:
    return [Label(text, label, principal) for text, label in examples]


def turned(examples: Examples) -> Examples:
    """The same texts with the labels that they do not have."""
    return [(text, 1 - label) for text, label in examples]


def guessed(examples: Examples) -> Examples:
    """The same texts with labels by the fall of a coin."""
    coin = random.Random(2)
    return [(text, coin.randrange(2)) for text, _ in examples]


def strongest(line: Line, label: int) -> list[str]:
    """The common words that speak most for a label."""
    model = line.champion.model
    odds = model.log_odds() * (1 if label else -1)
    frequencies = model.frequencies()
    common = [place for place in range(len(odds)) if frequencies[place] >= 20]
    return [model.vocabulary[place] for place in sorted(common, key=lambda place: -odds[place])[:300]]


def test_two_hundred_runs_of_one_label_each_do_not_walk_the_model_down(line: Line) -> None:
    chance, words = random.Random(1), [strongest(line, label) for label in (0, 1)]
    for number in range(200):
        label = number % 2
        line.send(labels([(" ".join(chance.choices(words[1 - label], k=300)), label)]))
        line.run()
    assert line.most_behind_points <= MOST_BEHIND_POINTS


@pytest.mark.parametrize(
    ("trainer", "number", "harm"),
    [("multinomial-nb", 2_000, turned), ("multinomial-nb", 2_000, guessed), ("nb-logistic", 240, turned)],
)
def test_runs_of_forty_bad_labels_do_not_walk_the_model_down(
    first: Firsts, honest: Examples, trainer: str, number: int, harm: Harm
) -> None:
    line = Line.of(first(trainer))
    bad = harm(honest[:number])
    for start in range(0, len(bad), 40):
        line.send(labels(bad[start : start + 40]))
        line.run()
    assert line.most_behind_points <= MOST_BEHIND_POINTS
    assert line.promoted < number / 200


@pytest.mark.parametrize("harm", [turned, guessed])
def test_bad_labels_in_small_runs_after_many_good_ones_are_found_out(line: Line, honest: Examples, harm: Harm) -> None:
    line.send(labels(honest[:500], "ann"))
    line.run()
    bad = harm(honest[500:2_500])
    for start in range(0, len(bad), 40):
        line.send(labels(bad[start : start + 40]))
        line.run()
    assert line.most_behind_points <= MOST_BEHIND_POINTS
    assert line.promoted < 10


def test_a_trickle_below_the_run_size_over_a_week_does_no_more(line: Line, honest: Examples) -> None:
    bad = iter(labels(turned(honest)))
    for _ in range(7 * 24 * 4):  # the schedule comes each quarter of an hour
        line.send([next(bad) for _ in range(5)])
        line.schedule()
    assert len(line.accuracies) > 50, "it had come to runs"
    assert line.most_behind_points <= MOST_BEHIND_POINTS
    assert line.promoted < 10


def test_a_word_that_one_label_repeats_a_thousand_times_is_not_turned_around(line: Line) -> None:
    def excellent() -> float:
        return probability(line.champion.model.scorer().log_odds("excellent"))

    before = excellent()
    line.send(labels([("excellent " * 1_000, 0)]))
    line.run()
    assert line.promoted == 1, "there is nothing to be said against one label"
    assert 0.5 < before - 0.15 < excellent() < before


@pytest.mark.parametrize("label", [0, 1])
def test_a_label_of_all_words_that_speak_for_the_other_class_moves_nothing(first: Firsts, label: int) -> None:
    line = Line.of(first("nb-logistic"), Settings(gate="off"))
    champion = line.champion
    weights = zip(champion.model.log_odds(), champion.model.vocabulary, strict=True)
    against = " ".join(word for weight, word in weights if weight * (label - 0.5) < 0)
    assert MAX_TEXT_CHARACTERS / 2 < len(against) <= MAX_TEXT_CHARACTERS

    def most_lost_points(model: LinearModel) -> float:
        """By the class that loses most."""
        before, after = (
            right(each.scorer(), champion.holdout, champion.holdout_labels) for each in (champion.model, model)
        )
        classes = [champion.holdout_labels == label for label in (0, 1)]
        return max(100 * float(before[members].mean() - after[members].mean()) for members in classes)

    unbounded = champion.model.added(count_texts([against], champion.model.features), [label])
    assert most_lost_points(unbounded) > 5, "without a bound it does harm"
    line.send(labels([(against, label)]))
    found, _ = line.run()
    assert len(found.lesson) == line.promoted == 1
    assert most_lost_points(found.model) < 0.5


def test_one_text_under_ten_thousand_made_up_sources_is_one_label(line: Line) -> None:
    flood = [Label("a superb and moving film", 0, "eve", source=f"source {number}") for number in range(10_000)]
    assert line.send(flood) == 1


@pytest.mark.parametrize("harm", [turned, guessed])
@pytest.mark.parametrize(
    ("trainer", "number"),
    [("multinomial-nb", 50), ("multinomial-nb", 100), ("multinomial-nb", 500), ("nb-logistic", 100)],
)
def test_of_a_mixed_run_the_honest_half_is_learned_and_the_guilty_one_refused_with_the_reason(
    first: Firsts, honest: Examples, trainer: str, number: int, harm: Harm
) -> None:
    line = Line.of(first(trainer))
    good = labels(honest[:number], "ann")
    line.send([*good, *labels(harm(honest[number : 2 * number]), "eve")])
    found, (left_out,) = line.run()
    assert found.verdict.promote, found.verdict.reason
    assert sorted(found.lesson.ids) == sorted(label.id for label in good)
    assert (left_out.principal, len(left_out.lesson)) == ("eve", number)
    assert "look like noise" in left_out.reason
    assert line.most_behind_points <= MOST_BEHIND_POINTS


def test_two_guilty_ones_are_both_left_out(line: Line, honest: Examples) -> None:
    line.send([*labels(honest[:300], "ann"), *labels(turned(honest[300:500]), "eve")])
    line.send(labels(guessed(honest[500:700]), "mallory"))
    found, left_out = line.run()
    assert found.verdict.promote, found.verdict.reason
    assert {part.principal for part in left_out} == {"eve", "mallory"}
    assert found.lesson.by_principal() == {"ann": 300}


def test_who_fills_the_vocabulary_is_left_out_and_the_others_learned(line: Line, honest: Examples) -> None:
    line.settings = Settings(max_vocabulary_words=len(line.champion.model.vocabulary) + 1_000)
    line.send(labels(honest[:100], "ann"))
    line.send(labels([(" ".join(f"w{number}x{n}" for n in range(100)), number % 2) for number in range(100)]))
    found, (left_out,) = line.run()
    assert found.verdict.promote, found.verdict.reason
    assert left_out.principal == "eve"
    assert "MAX_VOCABULARY_WORDS" in left_out.reason


def test_a_run_that_nobody_alone_spoils_is_refused_whole(line: Line, honest: Examples) -> None:
    line.send([*labels(turned(honest[:200]), "eve"), *labels(turned(honest[200:400]), "mallory")])
    found, left_out = line.run()
    assert not found.verdict.promote
    assert left_out == []
    assert len(found.lesson) == 400


def test_honest_labels_one_by_one_are_learned(line: Line, honest: Examples) -> None:
    for label in labels(honest[:100], "ann"):
        line.send([label])
        line.run()
    assert line.promoted >= 95


def test_honest_labels_in_runs_of_a_hundred_are_learned(line: Line, honest: Examples) -> None:
    for start in range(0, 3_000, 100):
        line.send(labels(honest[start : start + 100], "ann"))
        line.run()
    # On 700 texts chance alone takes a good model 1.5 points below the luckiest one of its line now and then.
    assert line.promoted >= 27
    assert line.most_behind_points <= MOST_BEHIND_POINTS

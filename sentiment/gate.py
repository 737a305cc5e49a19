"""The gate that a retrained model, the challenger, must pass before it replaces the champion.

Both score the same labelled texts, so the test is McNemar's, exact and one-sided (McNemar, 1947; Fagerland,
Lydersen and Laake, 2013): of the texts that only one of them gets right, is the champion's share larger than
a half beyond what chance explains? The texts are

* the *holdout*, frozen with the first model, which no model was trained on; and
* the *recent* labels, each scored by a challenger that was trained without it (cross-validation).

The challenger is refused where one of these holds:

1. It is worse on the holdout.
2. It is worse on both together.
3. It is worse on the texts of one class, both together, and that class is now recognised less well than the
   champion's weaker class was. Recall in one class can fall because the champion leaned to it: a model that
   called nearly every long review negative loses some of those when it learns to tell them apart.
4. There are `LEAST_RECENT` recent labels or more, and the challenger predicts those that it has not seen no
   better than a coin: labels that nobody can learn are noise.

*Worse* means: by more than `MARGIN` of the texts, and with a p-value below the level after Holm's correction
for the four tests of 1 to 3. With enough texts any difference is significant; the margin is the effect size. On the
holdout alone it is `HOLDOUT_MARGIN`: labels of another kind of text than the first training data, long reviews where
those were sentences, say, cost some accuracy there while they win much more where the model is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from contracts.names import CLASSES
from contracts.retrain import PairedTest
from sentiment.counts import TextCounts
from sentiment.drift.two_sample import holm
from sentiment.linear import LinearModel

LEVEL = 0.01
MARGIN = 0.01
HOLDOUT_MARGIN = 0.05
LEAST_RECENT = 50
FOLDS = 5

Booleans = NDArray[np.bool_]
LabelArray = NDArray[np.intp]


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger may be promoted, the reason in a sentence, and the figures behind it."""

    promote: bool
    reason: str
    tests: dict[str, PairedTest]


@dataclass(frozen=True, eq=False)
class Answers:
    """Labelled texts, (N,), and which of them the champion and the challenger get right, (2, N)."""

    labels: LabelArray
    right: Booleans

    def __add__(self, other: "Answers") -> "Answers":
        """Return both sets of texts together."""
        return Answers(np.append(self.labels, other.labels), np.append(self.right, other.right, axis=1))

    def of_class(self, label: int) -> "Answers":
        """Return those of one class."""
        chosen = self.labels == label
        return Answers(self.labels[chosen], self.right[:, chosen])

    def shares(self) -> tuple[float, float]:
        """Return the share that the champion, and that the challenger, gets right; 0 without texts."""
        champion, challenger = self.right.sum(axis=1) / max(len(self.labels), 1)
        return float(champion), float(challenger)


def on_holdout(champion: LinearModel, challenger: LinearModel, texts: TextCounts, labels: LabelArray) -> Answers:
    """Have both models answer the holdout."""
    return Answers(labels, np.array([right(model, texts, labels) for model in (champion, challenger)]))


def on_recent(champion: LinearModel, texts: TextCounts, labels: LabelArray, *, weight: float) -> Answers:
    """Have the champion answer recent texts, and for each a challenger trained on the other folds of them."""
    both_right = np.tile(right(champion, texts, labels), (2, 1))
    fold_of = np.arange(len(labels)) % FOLDS
    for fold in range(min(FOLDS, len(labels))):
        held = fold_of == fold
        trained = champion.added(texts.select(~held), labels[~held].tolist(), weight=weight)
        both_right[1, held] = right(trained, texts.select(held), labels[held])
    return Answers(labels, both_right)


def right(model: LinearModel, texts: TextCounts, labels: LabelArray) -> Booleans:
    """Return which texts a model labels as they are labelled, (N,)."""
    return np.asarray((texts.log_odds(model.scorer()) > 0) == (labels == 1))


def decide(holdout: Answers, recent: Answers, *, level: float = LEVEL) -> Verdict:
    """Compare champion and challenger as the module says; `level` is a probability."""
    both = holdout + recent
    groups = {"holdout": holdout, "all": both, **{name: both.of_class(label) for label, name in enumerate(CLASSES)}}
    tests = _paired_tests(groups, level)
    weaker = min(tests[name].champion for name in CLASSES if tests[name].texts)
    reasons = [
        f"worse on {where}" for name, where in (("holdout", "the holdout"), ("all", "all texts")) if tests[name].worse
    ]
    reasons += [f"worse on {name} texts" for name in CLASSES if tests[name].worse and tests[name].challenger < weaker]
    predicted, labels = int(recent.right[1].sum()), len(recent.labels)
    if labels >= LEAST_RECENT and binom.sf(predicted - 1, labels, 0.5) >= level:
        reasons.append(
            f"the new labels look like noise: of {labels} that it had not seen, "
            f"the challenger predicts {predicted}, no better than a coin"
        )
    figures = (
        f"holdout {tests['holdout'].champion:.1%} to {tests['holdout'].challenger:.1%}, "
        f"recent labels {recent.shares()[0]:.1%} to {recent.shares()[1]:.1%}"
    )
    if reasons:
        return Verdict(False, f"refused: {'; '.join(reasons)} ({figures})", tests)
    return Verdict(True, f"not worse beyond chance, overall or in a class ({figures})", tests)


def _paired_tests(groups: Mapping[str, Answers], level: float) -> dict[str, PairedTest]:
    """Return McNemar's test of each group of texts, corrected by Holm, with its verdict."""
    discordant = {}
    for name, group in groups.items():
        champion, challenger = group.right
        discordant[name] = int((champion & ~challenger).sum()), int((challenger & ~champion).sum())
    p_values = holm({name: float(binom.sf(lost - 1, lost + won, 0.5)) for name, (lost, won) in discordant.items()})
    tests = {}
    for name, group in groups.items():
        (lost, won), texts = discordant[name], len(group.labels)
        margin = HOLDOUT_MARGIN if name == "holdout" else MARGIN
        worse = p_values[name] < level and (lost - won) / max(texts, 1) > margin
        tests[name] = PairedTest(texts, *group.shares(), lost, won, p_values[name], worse)
    return tests

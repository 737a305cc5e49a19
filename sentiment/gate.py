"""The gate that a retrained model, the challenger, must pass before it replaces the champion.

Both score the same labelled texts, so the test is McNemar's, exact and one-sided (McNemar, 1947; Fagerland,
Lydersen and Laake, 2013): of the texts that only one of them gets right, is the champion's share larger than
a half beyond what chance explains? The texts are

* the *holdout*, frozen with the first model, which no model was trained on; and
* the *recent* labels, each scored by a challenger that was trained without it (cross-validation).

The challenger is refused where one of these holds:

1. It is worse on the holdout than the *anchor*, the best version of the line that it comes from: by more than
   `ANCHOR_MARGIN` of the texts, and more than `CHANCE_TEXTS` of them. No p-value here: many small losses, each of which
   chance could explain, would add up. So would those of one class: none may fall `CLASS_MARGIN` below the anchor's
   weaker class. A challenger that is no worse than the champion is not refused for what was lost before it.
2. It is worse than the champion on both together.
3. It is worse on the texts of one class, both together, and that class is now recognised less well than the
   champion's weaker class was. Recall in one class can fall because the champion leaned to it: a model that
   called nearly every long review negative loses some of those when it learns to tell them apart.
4. It predicts labels that it has not seen no better than a coin: labels that nobody can learn are noise. Asked of the
   recent labels, and where these are fewer than `LEAST_RECENT`, of them and of those that were accepted last, which the
   challenger answers without having learned them: noise that comes by the spoon is noise, too. Where several people
   sent the recent labels, it is also asked of each one's that are so many: good labels don't hide bad ones.

*Worse* in 2 and 3 means: by more than `MARGIN` of the texts, and with a p-value below the level after Holm's correction
for the four tests. With enough texts any difference is significant; the margin is the effect size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.stats import binom

from contracts.manifest import Evaluation
from contracts.names import CLASSES
from contracts.retrain import PairedTest
from sentiment.counts import TextCounts
from sentiment.drift.two_sample import holm
from sentiment.linear import Floats, Learned, LinearModel
from sentiment.scorer import Scorer

M = TypeVar("M", bound=LinearModel)

LEVEL = 0.01
MARGIN = 0.01
ANCHOR_MARGIN = 0.015
CLASS_MARGIN = 0.05
CHANCE_TEXTS = 5
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


@dataclass(frozen=True, eq=False)
class Labelled:
    """Texts with labels, (N,): as a model answers them, as it counts them where it learns them, and how many times."""

    texts: TextCounts
    counted: TextCounts
    labels: LabelArray
    weights: Floats

    def __len__(self) -> int:
        """Return N."""
        return len(self.labels)

    def select(self, chosen: Booleans) -> "Labelled":
        """Return those that `chosen` marks, (N,)."""
        texts, counted = self.texts.select(chosen), self.counted.select(chosen)
        return Labelled(texts, counted, self.labels[chosen], self.weights[chosen])

    def learned_by(self, model: M) -> M:
        """Return the model that has learned them, too."""
        return model.added(self.counted, self.labels.tolist(), weight=self.weights)

    def left_out_of(self, model: Learned) -> Learned:
        """Return what the model would be without them, which it has learned; raises ValueError where it has not."""
        return model.without(self.counted, self.labels.tolist(), weight=self.weights)


def on_recent(champion: Scorer, challenger: Learned, recent: Labelled) -> Answers:
    """Have the champion answer recent labels, and for each a challenger trained on the other folds of them."""
    return Answers(recent.labels, np.array([right(champion, recent.texts, recent.labels), unseen(challenger, recent)]))


def unseen(model: Learned, learned: Labelled) -> Booleans:
    """Return which labels a model that has learned them would get right if it had not, (N,): fold by fold."""
    found = np.zeros(len(learned), dtype=np.bool_)
    fold_of = np.arange(len(learned)) % FOLDS
    for fold in range(min(FOLDS, len(learned))):
        held = learned.select(fold_of == fold)
        found[fold_of == fold] = right(held.left_out_of(model).scorer(), held.texts, held.labels)
    return found


def right(scorer: Scorer, texts: TextCounts, labels: LabelArray) -> Booleans:
    """Return which texts a model labels as they are labelled, (N,)."""
    return np.asarray((texts.log_odds(scorer) > 0) == (labels == 1))


def decide(
    holdout: Answers,
    recent: Answers,
    *,
    accepted: Booleans | None = None,
    senders: Mapping[str, Booleans] = MappingProxyType({}),
    anchor: Evaluation | None = None,
    level: float = LEVEL,
) -> Verdict:
    """Compare champion and challenger as the module says; `level` is a probability.

    accepted: which of the labels that were accepted last the challenger gets right without having learned them.
    senders: which of the recent labels came from whom, where it was more than one, each (N,).
    anchor: its figures on the holdout; without, those of the champion.
    """
    both = holdout + recent
    groups = {"holdout": holdout, "all": both, **{name: both.of_class(label) for label, name in enumerate(CLASSES)}}
    tests = _paired_tests(groups, level)
    reasons = _behind_anchor(holdout, anchor)
    tests["holdout"] = replace(tests["holdout"], worse=bool(reasons))
    weaker = min(tests[name].champion for name in CLASSES if tests[name].texts)
    if tests["all"].worse:
        reasons.append("worse on all texts")
    reasons += [f"worse on {name} texts" for name in CLASSES if tests[name].worse and tests[name].challenger < weaker]
    known = np.zeros(0, dtype=np.bool_)
    reasons += _noise("the new labels", recent.right[1], known if accepted is None else accepted, level)
    for name, chosen in senders.items():
        reasons += _noise(f"the new labels of {name}", recent.right[1, chosen], known, level)
    figures = (
        f"holdout {tests['holdout'].champion:.1%} to {tests['holdout'].challenger:.1%}, "
        f"recent labels {recent.shares()[0]:.1%} to {recent.shares()[1]:.1%}"
    )
    if reasons:
        return Verdict(False, f"refused: {'; '.join(reasons)} ({figures})", tests)
    return Verdict(True, f"not worse beyond chance, overall or in a class ({figures})", tests)


def _behind_anchor(holdout: Answers, anchor: Evaluation | None) -> list[str]:
    """Return what speaks against a challenger for being behind the best version of its line."""
    champion, challenger = holdout.shares()
    if challenger >= champion and not _weaker_class(holdout, 1) < _weaker_class(holdout, 0):
        return []
    reasons = []
    best = max(champion, anchor.accuracy if anchor else 0.0)
    if _is_behind(challenger, best, ANCHOR_MARGIN, len(holdout.labels)):
        reasons.append(f"worse on the holdout: {best:.1%} in the best version of its line, {challenger:.1%} now")
    recalls = [anchor.negative.recall, anchor.positive.recall] if anchor else []
    weaker = min(recalls, default=_weaker_class(holdout, 0))
    for label, name in enumerate(CLASSES):
        texts, recall = holdout.of_class(label), holdout.of_class(label).shares()[1]
        if _is_behind(recall, weaker, CLASS_MARGIN, len(texts.labels)):
            reasons.append(
                f"worse on {name} texts of the holdout: {weaker:.1%} of the weaker class in the best version of its "
                f"line, {recall:.1%} now"
            )
    return reasons


def _is_behind(share: float, best: float, margin: float, texts: int) -> bool:
    return best - share > margin and round((best - share) * texts) > CHANCE_TEXTS


def _weaker_class(answers: Answers, model: int) -> float:
    """Return the lower recall of one of the two models, 0 the champion and 1 the challenger; 0 without texts."""
    classes = [answers.of_class(label) for label in range(len(CLASSES))]
    return min((each.shares()[model] for each in classes if len(each.labels)), default=0.0)


def _noise(what: str, recent: Booleans, accepted: Booleans, level: float) -> list[str]:
    """Return what speaks against labels that are predicted no better than a coin falls; see 4 of the module."""
    judged = recent if len(recent) >= LEAST_RECENT else np.append(accepted, recent)
    labels, predicted = len(judged), int(judged.sum())
    if labels < LEAST_RECENT or binom.sf(predicted - 1, labels, 0.5) < level:
        return []
    before = f" ({labels - len(recent)} of them accepted before)" if labels > len(recent) else ""
    return [
        f"{what} look like noise: of {labels}{before} that it had not seen, "
        f"the challenger predicts {predicted}, no better than a coin"
    ]


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
        worse = p_values[name] < level and (lost - won) / max(texts, 1) > MARGIN
        tests[name] = PairedTest(texts, *group.shares(), lost, won, p_values[name], worse)
    return tests

"""What a run does with its labels: the challenger that learns them, the gate, and who is left out if it refuses.

Labels that the gate refuses are rarely all bad. So a refused run is tried again without each principal in turn, who is
known by the credential that labels came with; it goes on without the one whose absence helps most, until the gate lets
it through. Nothing here asks a server.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from functions.retrain.lesson import Lesson
from functions.retrain.settings import Settings
from functions.retrain.versions import Champion
from sentiment import gate
from sentiment.linear import LinearModel

MOST_TRIED = 10
"""Of principals, those with the most labels: each try costs as much as the run."""


@dataclass(frozen=True, eq=False)
class Challenge:
    """Labels, the model that has learned them, and what the gate says of it."""

    lesson: Lesson
    model: LinearModel
    verdict: gate.Verdict


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Labels without which the gate was asked again: whose, and what it said of a challenger that had them."""

    principal: str
    lesson: Lesson
    reason: str


def challenged(
    champion: Champion, lesson: Lesson, accepted: Lesson, settings: Settings
) -> tuple[Challenge, Sequence[LeftOut]]:
    """Return the first challenge that the gate lets through, and whose labels it goes without.

    Where there is none, whatever is left out, return the one with all labels, and nobody.
    accepted: the labels that the champion learned last.
    """
    first = found = _challenge(champion, lesson, accepted, settings)
    left_out = list[LeftOut]()
    while not found.verdict.promote:
        suspects = [name for name, _ in found.lesson.by_principal().most_common(MOST_TRIED)]
        best: tuple[str, Challenge] | None = None
        for name in suspects:
            if len(rest := found.lesson.without(name)):
                tried = _challenge(champion, rest, accepted, settings)
                # Only the best is kept: a model of nb-logistic holds all of its texts.
                if best is None or _merit(tried) > _merit(best[1]):
                    best = name, tried
        if best is None:
            return first, []
        guilty, better = best
        left_out.append(LeftOut(guilty, found.lesson.only(guilty), found.verdict.reason))
        found = better
    return found, left_out


def _challenge(champion: Champion, lesson: Lesson, accepted: Lesson, settings: Settings) -> Challenge:
    """Have a challenger learn labels, and ask the gate."""
    challenger = lesson.labelled.learned_by(champion.model)
    words, most = len(challenger.vocabulary), settings.max_vocabulary_words
    if words > max(most, len(champion.model.vocabulary)):
        reason = f"refused: the model would have {words} words, more than MAX_VOCABULARY_WORDS ({most})"
        return Challenge(lesson, challenger, gate.Verdict(False, reason, {}))
    verdict = gate.decide(
        gate.on_holdout(champion.model, challenger, champion.holdout, champion.holdout_labels),
        gate.on_recent(champion.model, challenger, lesson.labelled),
        accepted=gate.unseen(challenger, accepted.labelled) if len(lesson) < gate.LEAST_RECENT else None,
        senders=lesson.of_each(),
        anchor=champion.anchor.metrics,
        level=settings.gate_level,
    )
    if settings.gate == "off" and not verdict.promote:
        verdict = replace(verdict, promote=True, reason=f"GATE=off, else {verdict.reason}")
    return Challenge(lesson, challenger, verdict)


def _merit(challenge: Challenge) -> tuple[bool, float, int]:
    """Return what makes one challenge better than another: passing, then the holdout, then a smaller vocabulary."""
    on_holdout = challenge.verdict.tests.get("holdout")
    return challenge.verdict.promote, on_holdout.challenger if on_holdout else -1, -len(challenge.model.vocabulary)

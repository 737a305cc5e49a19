"""What a run does with its labels: the challenger that learns them, the gate, and who is left out if it refuses.

Labels that the gate refuses are rarely all bad. So a refused run is tried again without each principal in turn, who is
known by the credential that labels came with; it goes on without the one whose absence helps most, until the gate lets
it through. Nothing here asks a server.

What a challenger would be without somebody is found as cheaply as its trainer can (`sentiment.linear.Learned`), and
most of the gate's questions are spared: it is asked of the best on the holdout first, and the first that it lets
through is the one that helps most. What is promoted was trained, and asked, in full.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from functions.retrain.lesson import Lesson
from functions.retrain.settings import Settings
from functions.retrain.versions import Champion
from sentiment import gate
from sentiment.linear import Learned, LinearModel

MOST_TRIED = 10
"""Of principals, those with the most labels: each try costs time."""


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


@dataclass(frozen=True, eq=False)
class _Asked:
    """Labels, what has learned them, which of the holdout it gets right, and how many words it has."""

    lesson: Lesson
    learned: Learned
    holdout: gate.Booleans
    words: int


def challenged(
    champion: Champion, lesson: Lesson, accepted: Lesson, settings: Settings
) -> tuple[Challenge, Sequence[LeftOut]]:
    """Return the first challenge that the gate lets through, and whose labels it goes without.

    Where there is none, whatever is left out, return the one with all labels, and nobody.
    accepted: the labels that the champion learned last.
    """

    def challenge(lesson: Lesson) -> Challenge:
        model = lesson.labelled.learned_by(champion.model)
        return Challenge(lesson, model, verdict(_asked(champion, lesson, model)))

    def verdict(asked: _Asked) -> gate.Verdict:
        return _verdict(champion, asked, accepted, settings)

    first = found = challenge(lesson)
    left_out = list[LeftOut]()
    while not found.verdict.promote:
        suspects = [name for name, _ in found.lesson.by_principal().most_common(MOST_TRIED)]
        tried = dict[str, _Asked]()
        for name in suspects:
            if len(rest := found.lesson.without(name)):
                without = found.lesson.only(name).labelled.left_out_of(found.model)
                tried[name] = _asked(champion, rest, without)
        if not tried:
            return first, []
        names = sorted(tried, key=lambda name: _merit(tried[name], champion, settings), reverse=True)
        guilty = next((name for name in names if verdict(tried[name]).promote), names[0])
        left_out.append(LeftOut(guilty, found.lesson.only(guilty), found.verdict.reason))
        found = challenge(found.lesson.without(guilty))
    return found, left_out


def _asked(champion: Champion, lesson: Lesson, learned: Learned) -> _Asked:
    holdout = gate.right(learned.scorer(), champion.holdout, champion.holdout_labels)
    return _Asked(lesson, learned, holdout, len(champion.words | lesson.words()))


def _verdict(champion: Champion, asked: _Asked, accepted: Lesson, settings: Settings) -> gate.Verdict:
    """Ask the gate."""
    lesson, learned = asked.lesson, asked.learned
    if not _has_room(asked, champion, settings):
        most = settings.max_vocabulary_words
        reason = f"refused: the model would have {asked.words} words, more than MAX_VOCABULARY_WORDS ({most})"
        return gate.Verdict(False, reason, {})
    verdict = gate.decide(
        gate.Answers(champion.holdout_labels, np.array([champion.holdout_right, asked.holdout])),
        gate.on_recent(champion.scorer, learned, lesson.labelled),
        accepted=gate.unseen(learned, accepted.labelled) if len(lesson) < gate.LEAST_RECENT else None,
        senders=lesson.of_each(),
        anchor=champion.anchor.metrics,
        level=settings.gate_level,
    )
    if settings.gate == "off" and not verdict.promote:
        verdict = replace(verdict, promote=True, reason=f"GATE=off, else {verdict.reason}")
    return verdict


def _has_room(asked: _Asked, champion: Champion, settings: Settings) -> bool:
    return asked.words <= max(settings.max_vocabulary_words, len(champion.words))


def _merit(asked: _Asked, champion: Champion, settings: Settings) -> tuple[bool, int, int]:
    """Return what makes one better than another, but for passing: the holdout, then a smaller vocabulary."""
    return _has_room(asked, champion, settings), int(asked.holdout.sum()), -asked.words

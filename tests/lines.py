"""Versions that follow one another as retrain has them, without servers: what days of labels come to takes seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec.structs import replace

from contracts.manifest import Promotion
from contracts.records import LabelRecord
from functions.retrain.challenge import Challenge, LeftOut, challenged
from functions.retrain.lesson import Lesson
from functions.retrain.settings import Settings
from functions.retrain.trainer import WINDOW_LABELS
from functions.retrain.versions import Champion
from model_store.layout import Current
from records.labels import Label
from sentiment.artifact import Artifact

AT = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Line:
    """A champion that learns, label after label, and what was made of each run."""

    champion: Champion
    settings: Settings = field(default_factory=Settings)
    accepted: list[LabelRecord] = field(default_factory=list)
    pending: dict[str, LabelRecord] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    accuracies: list[float] = field(default_factory=list)
    promoted: int = 0

    @classmethod
    def of(cls, artifact: Artifact, settings: Settings | None = None) -> "Line":
        line = cls(Champion.of(current(0), artifact), settings or Settings())
        line.accuracies.append(line.accuracy)
        return line

    @property
    def accuracy(self) -> float:
        """That of the champion on the holdout."""
        figures = self.champion.artifact.manifest.metrics
        assert figures is not None
        return figures.accuracy

    @property
    def most_behind_points(self) -> float:
        """How far below the best version before it the holdout ever was."""
        behind, best = 0.0, 0.0
        for accuracy in self.accuracies:
            best = max(best, accuracy)
            behind = max(behind, best - accuracy)
        return 100 * behind

    def send(self, labels: Sequence[Label]) -> int:
        """Take labels in; returns how many were new."""
        new = {label.id: label for label in labels if label.id not in self.known}
        self.known |= new.keys()
        for identifier, label in new.items():
            self.pending[identifier] = LabelRecord(
                id=identifier, text=label.text, label=label.label, source=label.source, principals=[label.principal],
                received_at=AT, text_sha256="",
            )  # fmt: skip
        return len(new)

    def schedule(self) -> None:
        """Do what the schedule has done, which needs RETRAIN_LEAST labels."""
        if len(self.pending) >= self.settings.retrain_least:
            self.run()

    def run(self) -> tuple[Challenge, Sequence[LeftOut]]:
        """Do what a run does with all labels that are pending."""
        bound, weight = self.champion.bound, self.settings.label_weight
        features = self.champion.model.features
        lesson = Lesson.read(self.pending.values(), 10**9, bound=bound, weight=weight, features=features)
        window = Lesson.read(self.accepted[-WINDOW_LABELS:], 10**9, bound=bound, features=features)
        found, left_out = challenged(self.champion, lesson, window, self.settings)
        if found.verdict.promote:
            self.accepted += [replace(self.pending[identifier], weight=weight) for identifier in found.lesson.ids]
            artifact = self.champion.successor(
                self.champion.compared(found.model), weight, "test", learned=found.lesson.ids
            )
            self.promoted += 1
            self.champion = Champion.of(current(self.promoted), artifact)
        self.pending.clear()
        self.accuracies.append(self.accuracy)
        return found, left_out


def current(number: int) -> Current:
    """A version that is served, as the store would tell."""
    promotion = Promotion(id=str(number), at=AT.isoformat(), by="test", previous=None, version=f"v{number}", reason="")
    return Current(f"v{number}", "", promotion)

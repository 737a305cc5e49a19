"""How good a model is: accuracy, precision and recall by class, log loss, calibration."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contracts.manifest import CalibrationBin, ClassFigures, Evaluation

CALIBRATION_BINS = 10


def evaluate(log_odds: ArrayLike, labels: Sequence[int]) -> Evaluation:
    """Compare log-odds (N,) with labels (N,) of 0 and 1; raises ValueError where there are none."""
    scores: NDArray[np.float64] = np.asarray(log_odds, dtype=np.float64)
    truth: NDArray[np.intp] = np.asarray(labels, dtype=np.intp)
    if not len(truth) or scores.shape != truth.shape:
        raise ValueError(f"{len(scores)} scores can't be compared with {len(truth)} labels")
    predicted = (scores > 0).astype(np.intp)
    confusion = np.bincount(2 * truth + predicted, minlength=4).reshape(2, 2)
    # log(1 + exp(x)) without overflow: the loss of a text is that of its log-odds against its label.
    losses = np.logaddexp(0, np.where(truth == 1, -scores, scores))
    bins = _calibration(1 / (1 + np.exp(-np.clip(scores, -700, 700))), truth)
    return Evaluation(
        texts=len(truth),
        accuracy=float((predicted == truth).mean()),
        negative=_class_figures(confusion, 0),
        positive=_class_figures(confusion, 1),
        confusion=confusion.tolist(),
        log_loss=float(losses.mean()),
        calibration_error=sum(abs(b.mean_probability - b.share_positive) * b.texts for b in bins) / len(truth),
        calibration=bins,
    )


def _class_figures(confusion: NDArray[np.intp], label: int) -> ClassFigures:
    hits = int(confusion[label, label])
    predicted, texts = int(confusion[:, label].sum()), int(confusion[label].sum())
    return ClassFigures(hits / predicted if predicted else 0.0, hits / texts if texts else 0.0, texts)


def _calibration(probabilities: NDArray[np.float64], truth: NDArray[np.intp]) -> list[CalibrationBin]:
    bin_of = np.minimum((probabilities * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    return [
        CalibrationBin(float(probabilities[inside].mean()), float(truth[inside].mean()), int(inside.sum()))
        for inside in (bin_of == number for number in range(CALIBRATION_BINS))
        if inside.any()
    ]

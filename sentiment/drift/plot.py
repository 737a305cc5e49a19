"""A report as a picture: the words that moved, and the distributions that were compared. Needs matplotlib."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from contracts.drift import Comparison
from sentiment.drift.documents import MEASURES
from sentiment.drift.samples import Reference, Window

TITLES = {
    "score": "score (log-odds)",
    "unknown_words": "share of unknown words",
    "log_likelihood": "mean log-likelihood a word",
    "length": "length in words",
}
_COLOURS = {"reference": "0.6", "window": "tab:orange"}


def plot(report: Comparison, reference: Reference, window: Window, path: Path) -> None:
    """Draw the report into `path`; its suffix (.png, .svg, .pdf) is the format.

    Raises OSError where the file can't be written, ValueError for a suffix that is no known format.
    """
    figure = Figure(figsize=(10, 5), layout="constrained")
    figure.suptitle(f"{report.status}: {window.documents} texts against {reference.documents}")
    words, *distributions = figure.subplot_mosaic(
        [["words", "score", "unknown_words"], ["words", "log_likelihood", "length"]],
        width_ratios=[1.2, 1, 1],
    ).values()
    _draw_words(words, report)
    for axes, name in zip(distributions, MEASURES, strict=True):
        _draw_distribution(axes, TITLES[name], {"reference": reference.measures[name], "window": window.measures[name]})
    words.legend(loc="lower right")
    figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_words(axes: Axes, report: Comparison) -> None:
    positions = np.arange(len(report.words))
    shares = {
        "reference": [word.share_reference for word in report.words],
        "window": [word.share_window for word in report.words],
    }
    for offset, (side, values) in zip((-0.2, 0.2), shares.items(), strict=True):
        axes.barh(positions + offset, [100 * value for value in values], 0.4, color=_COLOURS[side], label=side)
    axes.set_yticks(positions, [word.word for word in report.words])
    axes.invert_yaxis()
    axes.set_title("words that moved")
    axes.set_xlabel("% of documents")


def _draw_distribution(axes: Axes, title: str, sides: dict[str, np.typing.NDArray[np.float32]]) -> None:
    """Draw distribution functions: their largest vertical distance is the statistic."""
    for side, values in sides.items():
        if len(values):
            axes.ecdf(values.astype(np.float64), color=_COLOURS[side], label=side)
    axes.set_title(title)

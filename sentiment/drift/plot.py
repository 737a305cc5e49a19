"""A report as a picture: the words that moved, and the distributions that were compared. Needs matplotlib."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from contracts.drift import Comparison
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
    figure.suptitle(f"{report.status}: {window.texts} texts against {reference.texts}")
    panels = figure.subplot_mosaic(
        [["words", "score", "unknown_words"], ["words", "log_likelihood", "length"]], width_ratios=[1.2, 1, 1]
    )
    _draw_words(panels["words"], report)
    for name, title in TITLES.items():
        panels[name].set_title(title)
        for side, sample in (("reference", reference), ("window", window)):
            if len(values := sample.measures[name]):
                # Of two distribution functions the largest vertical distance is the statistic.
                panels[name].ecdf(values.astype(np.float64), color=_COLOURS[side])
    figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_words(axes: Axes, report: Comparison) -> None:
    positions = np.arange(len(report.words))
    before = [100 * word.share_reference for word in report.words]
    now = [100 * word.share_window for word in report.words]
    for side, offset, percent in (("reference", -0.2, before), ("window", 0.2, now)):
        axes.barh(positions + offset, percent, 0.4, color=_COLOURS[side], label=side)
    axes.set_yticks(positions, [word.word for word in report.words])
    axes.invert_yaxis()
    axes.set_title("words that moved")
    axes.set_xlabel("% of texts")
    axes.legend(loc="lower right")

"""A comparison of trainers as a picture: accuracy and log loss, and calibration. Needs matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from client.commands.compare import Figures


def plot(found: "Sequence[Figures]", path: Path) -> None:
    """Draw the figures into `path`; its suffix (.png, .svg, .pdf) is the format.

    Raises OSError where the file can't be written, ValueError for a suffix that is no known format.
    """
    figure = Figure(figsize=(10, 5), layout="constrained")
    bars, curves = figure.subplots(1, 2, width_ratios=[1, 1.2])
    figure.suptitle(f"{found[0].metrics.texts:,} texts that no model has seen")
    names = [each.trainer for each in found]
    colours = [f"C{number}" for number in range(len(found))]
    drawn = bars.bar(names, [100 * each.metrics.accuracy for each in found], color=colours, width=0.5)
    said = [f"{each.metrics.accuracy:.1%}\nlog loss {each.metrics.log_loss:.3f}" for each in found]
    bars.bar_label(drawn, said, padding=3)
    bars.set_ylim(0, 115)
    bars.set_title("accuracy, %")
    curves.axline((0, 0), slope=1, color="0.7", linestyle="--")
    for each, colour in zip(found, colours, strict=True):
        bins = each.metrics.calibration
        said_probability = [each_bin.mean_probability for each_bin in bins]
        shares = [each_bin.share_positive for each_bin in bins]
        curves.plot(said_probability, shares, marker="o", color=colour, label=each.trainer)
    curves.set_title("calibration")
    curves.set_xlabel("probability of positive, mean of each tenth")
    curves.set_ylabel("share that is positive")
    curves.legend()
    figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)

"""A model card (Mitchell et al., Model Cards for Model Reporting, 2019) in Markdown, made of manifests alone."""

from collections.abc import Iterable, Sequence

from contracts.manifest import CalibrationBin, Evaluation, Manifest
from contracts.names import CLASSES

PLOT_CHARACTERS = 40
MOST_VERSIONS = 50


def card(version: str, manifest: Manifest, line: Sequence[tuple[str, Manifest | None]] = ()) -> str:
    """Return the card of a version.

    line: the versions that it has learned from, oldest first, by their ids, with None for one whose manifest is gone.
    """
    parts = [f"# Model {version}", *_what_it_is(manifest), *_how_good(manifest), *_line([*line, (version, manifest)])]
    return "\n\n".join([*parts, *_moved(manifest)]) + "\n"


def _what_it_is(manifest: Manifest) -> list[str]:
    trained_on = manifest.documents
    rows = [
        ("trained at", manifest.trained_at),
        ("trainer", manifest.trainer),
        ("data it began with", manifest.data or "unknown"),
        ("texts it was trained on", f"{trained_on.negative:,.6g} negative, {trained_on.positive:,.6g} positive"),
        ("words it knows", f"{manifest.vocabulary_size:,}"),
        ("log-odds of a text without them", f"{manifest.bias:+.3f}"),
    ]
    return [
        "Says of an English text whether it is positive or negative, and how probably. It knows texts of the kind that"
        " it was trained on; of other kinds, other languages, irony, or what a text is about it knows nothing. It is"
        " not made for decisions about people.",
        _table(("", ""), rows),
    ]


def _how_good(manifest: Manifest) -> list[str]:
    metrics, calibration = manifest.metrics, manifest.calibration
    if metrics is None:
        return ["## How good it is", "Not known: no labelled texts were kept out of training."]
    figures = [
        (
            f"{name}",
            f"{found.precision:.1%}",
            f"{found.recall:.1%}",
            f"{found.texts:,}",
            *(f"{texts:,}" for texts in row),
        )
        for name, found, row in zip(CLASSES, (metrics.negative, metrics.positive), metrics.confusion, strict=True)
    ]
    return [
        "## How good it is",
        f"On {metrics.texts:,} texts that it was not trained on it is right in **{metrics.accuracy:.1%}**.",
        _table(("class", "precision", "recall", "texts", *(f"said to be {name}" for name in CLASSES)), figures),
        "## What its probabilities mean",
        f"Temperature {calibration.temperature:.3g}, power {calibration.power:.3g}; log loss {metrics.log_loss:.3f},"
        f" calibration error {metrics.calibration_error:.3f}. Of the texts in each tenth of probability the share that"
        " is positive (`#`), and what the probability says (`|`): the closer, the better.",
        _plot(metrics),
    ]


def _plot(metrics: Evaluation) -> str:
    head = (
        f"{'probability':>11}  {'0':<{PLOT_CHARACTERS // 2}}{'positive':^8}{'1':>{PLOT_CHARACTERS // 2 - 7}}    texts"
    )
    return "\n".join(["```", head, *map(_bar, metrics.calibration), "```"])


def _bar(tenth: CalibrationBin) -> str:
    """Return a line of the plot: a bar as long as the share that is positive, with a mark where it should end."""
    bar = list(f"{'#' * round(tenth.share_positive * PLOT_CHARACTERS):<{PLOT_CHARACTERS + 1}}")
    bar[round(tenth.mean_probability * PLOT_CHARACTERS)] = "|"
    return f"{tenth.mean_probability:11.3f}  {''.join(bar)}{tenth.texts:9,}"


def _line(line: Sequence[tuple[str, Manifest | None]]) -> list[str]:
    rows = []
    for version, manifest in line[-MOST_VERSIONS:]:
        if manifest is None:
            rows.append((version, "no longer kept", "", "", ""))
            continue
        metrics, learned = manifest.metrics, f"{manifest.labels:,}"
        if manifest.taken_back:
            learned += f", {len(manifest.taken_back):,} taken back"
        accuracy = f"{metrics.accuracy:.1%}" if metrics else ""
        rows.append((version, manifest.trained_at, learned, accuracy, manifest.reason or ""))
    earlier = len(line) - len(rows)
    return [
        "## Where it comes from",
        "Each version was learned from the one above it"
        + (f"; {earlier:,} earlier ones are not shown." if earlier else "."),
        _table(("version", "trained at", "labels learned", "accuracy", "what the gate said"), rows),
    ]


def _moved(manifest: Manifest) -> list[str]:
    if not manifest.moved:
        return []
    rows = [(each.word, f"{each.before:+.3f}", f"{each.after:+.3f}") for each in manifest.moved]
    return [
        "## What its last labels have changed",
        "The words whose log-odds moved most; 0 is that of a word that the model does not have.",
        _table(("word", "before", "after"), rows),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, cells))} |" for cells in lines)


def _cell(text: str) -> str:
    """Return text as it can stand in a table: in one line, and no part of it Markdown or HTML."""
    escaped = " ".join(text.split())
    for character in "\\|<`*_[":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped

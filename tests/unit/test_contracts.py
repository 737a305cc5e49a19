"""What the readers of JSON make of what nobody should send."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.manifest import read_current, read_promotion
from contracts.names import parse_label
from contracts.predict import read_answers, read_request, read_text
from contracts.problem import read_problem
from contracts.retrain import read_label_example, read_labels_request, read_labels_taken, read_rollback_request
from contracts.stream import read_answer, read_rejected, read_review

ROOT = Path(__file__).resolve().parents[2]

DIGITS = sys.get_int_max_str_digits()
NUMBERS = [
    pre + "7" * count + post
    for count in (20, DIGITS, DIGITS + 1, 5_000)
    for pre in ("", "-", "1e", "0.")
    for post in ("", ".5", "e9")
    if not (pre in ("1e", "0.") and post == ".5")
]


def read_label(content: bytes) -> int:
    """Return the label of an example, as retrain and the bridge read it."""
    return parse_label(read_label_example(content).label)


PLACES: list[tuple[Callable[[bytes], object], str]] = [
    (read_request, '{"text": %s}'),
    (read_request, '{"texts": %s}'),
    (read_text, "%s"),
    (read_label, '{"text": "a", "label": %s}'),
    (read_label_example, '{"text": "a", "label": 1, "id": %s}'),
    (read_labels_request, '{"examples": [{"text": "a", "label": 1, "source": %s}]}'),
    (read_labels_request, '{"examples": %s}'),
    (read_rollback_request, '{"to": %s}'),
    (read_rollback_request, '{"requeue": %s}'),
    (read_review, '{"text": "a", "id": %s}'),
    (read_review, "%s"),
    (read_answers, '{"model": "v1", "predictions": %s}'),
    (read_answer, '{"id": %s}'),
    (read_rejected, '{"id": %s}'),
    (read_labels_taken, '{"accepted": "%s"}'),
    (read_problem, "%s"),
    (read_current, "%s"),
    (read_promotion, "%s"),
]


@pytest.mark.parametrize(("read", "template"), PLACES)
def test_a_number_of_any_length_where_it_does_not_belong_is_refused(
    read: Callable[[bytes], object], template: str
) -> None:
    for number in NUMBERS:
        with pytest.raises(ValueError, match=r"^(does not fit|is not valid JSON|the label must be)"):
            read((template % number).encode())


@pytest.mark.parametrize("source", ["support", " ", "a\nb", "Küche 🙂", "\x01", "a\0"])
def test_any_source_is_taken_that_is_not_empty(source: str) -> None:
    escaped = source.replace("\n", "\\n").replace("\x01", "\\u0001").replace("\0", "\\u0000")
    assert read_label_example(f'{{"text": "a", "label": 1, "source": "{escaped}"}}'.encode()).source == source


FIRST_USE = """
import sys, threading
import msgspec
from contracts.codec import QueryReader, from_document
sys.setswitchinterval(1e-6)
for number in range(300):
    inner = msgspec.defstruct("Inner", [("x", int, 0)])
    fields = [(f"f{n}", list[inner], msgspec.field(default_factory=list)) for n in range(30)]
    kinds = [msgspec.defstruct("Kind", fields) for _ in range(2)]
    begin = threading.Barrier(6)
    def use():
        begin.wait()
        QueryReader(kinds[0])("x=1")
        from_document({"f0": [{"x": 1}]}, kinds[1])
    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_threads_may_use_a_structure_for_the_first_time_at_once() -> None:
    command = [sys.executable, "-c", FIRST_USE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")

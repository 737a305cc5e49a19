"""What the HTTP benchmark makes of a run: a figure, or none."""

import pytest

from benchmarks.load import CONNECTIONS, Load, Outcome, judge, load_in
from benchmarks.system import http_row

OUTPUT = """Running 6s test @ http://127.0.0.1:1/
  1 threads and 8 connections
  71982 requests in 6.01s, 13.25MB read
{}Requests/sec:  11977.04
"""


def test_what_wrk_says_is_parted_in_answers_and_others() -> None:
    assert load_in(OUTPUT.format("")) == Load(71_982, 0, 6.01)
    assert load_in(OUTPUT.format("  Non-2xx or 3xx responses: 982\n")) == Load(71_000, 982, 6.01)
    with pytest.raises(ValueError, match="Socket errors"):
        load_in(OUTPUT.format("  Socket errors: connect 0, read 3, write 0, timeout 0\n"))


def test_a_run_counts_only_where_each_answer_has_its_record() -> None:
    load = Load(answered=72_000, others=0, seconds=6)
    assert judge(load, refused=0, records=72_000).invalid is None
    # wrk goes before the last answers.
    assert judge(load, refused=0, records=72_000 + CONNECTIONS).invalid is None
    assert judge(load, refused=0, records=71_999).invalid == "1 of 72,000 records are lost"
    assert judge(load, refused=0, records=72_001 + CONNECTIONS).invalid == "72,000 answers have 72,009 records"


def test_answers_of_503_are_counted_apart_and_any_other_makes_a_run_invalid() -> None:
    load = Load(answered=60_000, others=12, seconds=6)
    found = judge(load, refused=12, records=60_000)
    assert (found.rate, found.refused, found.invalid) == (10_000, 12, None)
    assert judge(load, refused=0, records=60_000).invalid == "12 answers are not 200, 0 are 503"


def test_one_invalid_run_leaves_the_row_without_a_figure() -> None:
    theirs = [Outcome(5_000, 1_000), Outcome(5_000, 500)]
    good, lost = Outcome(60_000, 10_000, records=60_000), Outcome(60_000, 12_000, records=1, invalid="records are lost")
    row = http_row("predict", theirs, [good, good])
    assert "| 10,000 requests/s | **15.00** (10.00 to 20.00) | 0 | 120,000 for 120,000 answers |" in row
    row = http_row("predict", theirs, [good, lost])
    assert "| **invalid**: records are lost |  | 0 | 60,001 for 120,000 answers |" in row
    assert "10,000" not in row

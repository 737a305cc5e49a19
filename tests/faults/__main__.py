"""Runs the rows of the fault suite, and prints their table: python -m tests.faults --all, or --row NAME.

Ends with status 1 where a row is not as promised.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.nemesis import Outcome, run
from tests.faults.rows import rows
from tests.faults.stage import Servers

SEED = 20261126


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--all", action="store_true", help="run every row")
    parser.add_argument("--row", action="append", default=[], help="run the rows whose names contain this")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--keep", type=Path, help="a folder in which logs and data stay")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    chosen = [row for row in rows() if arguments.all or any(part in row.name for part in arguments.row)]
    if not chosen:
        print("\n".join(row.name for row in rows()))
        return 0
    print("| fault | confirmed | lost | doubled | unexpected | wrong | unanswered | recovery |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        name = arguments.keep or Path(temporary)
        servers = Servers(name / "servers")
        with servers.running():
            for number, row in enumerate(chosen):
                if reason := row.missing():
                    print(f"| {row.name} | {reason} |" + " |" * 6, flush=True)
                    continue
                folder = name / str(number)
                folder.mkdir(parents=True)
                outcome = run(row, servers, folder, arguments.messages, arguments.seed)
                print(line(outcome), flush=True)
                if not outcome.good:
                    good = False
                    print(outcome.verdict.problems(), outcome.refused, file=sys.stderr, flush=True)
    return 0 if good else 1


def line(outcome: Outcome) -> str:
    """Return a row of the table in Markdown."""
    verdict = outcome.verdict
    kinds = verdict.lost, verdict.doubled, verdict.unexpected, verdict.wrong, verdict.unanswered
    seconds = "not in time" if outcome.recovery_seconds is None else f"{outcome.recovery_seconds:.1f} s"
    return (
        f"| {outcome.row.name} | {verdict.confirmed:,} | {' | '.join(f'{len(kind):,}' for kind in kinds)} | {seconds} |"
    )


if __name__ == "__main__":
    sys.exit(main())

"""A process that makes itself small."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """\
import os, sys
from functions.memory import give_back, restart_small
restart_small()
give_back()
settings = os.environ["MALLOC_ARENA_MAX"], os.environ["MALLOC_TRIM_THRESHOLD_"]
print(os.getpid(), *settings, sys.argv[1:])
"""


def test_a_restart_is_the_same_process_and_program_with_what_the_environment_sets_already(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "MALLOC_ARENA_MAX": "3"}
    process = subprocess.Popen(
        [sys.executable, "-m", "program", "an argument"], env=environment, stdout=subprocess.PIPE, text=True
    )
    output, _ = process.communicate(timeout=60)
    assert output.split(maxsplit=3) == [str(process.pid), "3", "131072", "['an argument']\n"]

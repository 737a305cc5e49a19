"""A process that makes itself small."""

import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
import os, sys
from functions.memory import give_back, restart_small
restart_small()
give_back()
settings = os.environ["MALLOC_ARENA_MAX"], os.environ["MALLOC_TRIM_THRESHOLD_"]
print(os.getpid(), sys.flags.optimize, *settings, sys.argv[1:])
"""


@pytest.mark.parametrize("compiled", [True, False])
def test_a_restart_is_the_same_process_and_program_without_docstrings_where_compiled(
    tmp_path: Path, compiled: bool
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    for package in ("asyncio", "flask"):  # in the place of the real ones
        (tmp_path / f"{package}.py").touch()
        if compiled:
            py_compile.compile(str(tmp_path / f"{package}.py"), optimize=2)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "MALLOC_ARENA_MAX": "3"}
    process = subprocess.Popen(
        [sys.executable, "-m", "program", "an argument"], env=environment, stdout=subprocess.PIPE, text=True
    )
    output, _ = process.communicate(timeout=60)
    optimization = "2" if compiled else "0"
    assert output.split(maxsplit=4) == [str(process.pid), optimization, "3", "131072", "['an argument']\n"]

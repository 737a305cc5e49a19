"""The README's section "Try it", run as it stands: its commands work, and answer as it says."""

import re
import subprocess

from tests.project import ROOT, Project

# A block of commands, and what it prints, if that is shown.
BLOCK = re.compile(
    r"^<!-- tested -->\n```sh\n(?P<script>.*?)^```(?:\n\n<!-- output -->\n```\w*\n(?P<output>.*?)^```)?",
    re.MULTILINE | re.DOTALL,
)
README_PORT = "8080"


def shape(output: str) -> list[str]:
    """Return the lines of an output with a mark in the place of each version and number, which differ."""
    without_versions = re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{8}", "<version>", output)
    return re.sub(r"[-+]?\d+(\.\d+)?(e-\d+)?", "<number>", without_versions).splitlines()


def test_readme_commands_print_what_the_readme_says(local_stack: Project) -> None:
    (local_stack.folder / ".venv").symlink_to(local_stack.environment["VENV"])
    blocks = list(BLOCK.finditer((ROOT / "README.md").read_text(encoding="utf-8")))
    assert len(blocks) >= 7
    for block in blocks:
        script = block["script"].replace(README_PORT, str(local_stack.port))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=local_stack.folder,
            env=local_stack.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        if block["output"] is not None:
            assert shape(done.stdout) == shape(block["output"]), f"{script}\n{done.stdout}{done.stderr}"


def test_readme_shows_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("./deploy.sh --local", "./test.sh"):
        assert re.search(rf"^{re.escape(command)}(?: |$)", readme, re.MULTILINE)

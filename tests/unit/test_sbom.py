"""The SBOMs of requirements/sbom.sh: all that the lock files have, with hashes, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.running import UNTRACED

ROOT = Path(__file__).resolve().parents[2]
LOCKED = re.compile(r"^([a-z0-9-]+)(?:\[[^]]+\])?==(\S+)", re.MULTILINE)


def test_each_lock_file_has_its_packages_versions_and_hashes_in_an_sbom() -> None:
    """They stay in build/sbom, where who has run all tests finds what was tested."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    shutil.rmtree(build / "sbom", ignore_errors=True)
    command = [str(ROOT / "requirements" / "sbom.sh"), "sbom"]
    subprocess.run(command, cwd=build, env={**os.environ, **UNTRACED, "PATH": path}, check=True, timeout=300)
    written = {file.name.removesuffix(".cdx.json"): file for file in (build / "sbom").iterdir()}
    images = set(re.findall(r"LOCK: ([a-z-]+)", (ROOT / "compose.yml").read_text()))
    assert written.keys() == images | {"local", "otel"}
    for lock, file in written.items():
        text, sbom = (ROOT / "requirements" / f"{lock}.lock").read_text(), json.loads(file.read_text())
        assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", "sentiment-openfaas")
        components = sbom["components"]
        assert {(each["name"], each["version"]) for each in components} == set(LOCKED.findall(text))
        hashes = [
            found["content"] for each in components for link in each["externalReferences"] for found in link["hashes"]
        ]
        assert sorted(hashes) == sorted(re.findall(r"sha256:([0-9a-f]{64})", text))

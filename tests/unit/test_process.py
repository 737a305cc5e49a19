"""How a process ends where a setting can't be used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("module", "variable", "value"),
    [
        ("functions.predict", "POLL_SECONDS", "often"),
        ("functions.predict", "LISTEN_PORT", "80808"),
        *((f"functions.{name}", "MAX_BODY_BYTES", "x") for name in ("predict", "retrain", "drift", "generate_drift")),
        ("functions.retrain", "GATE", "ajar"),
        ("functions.drift", "DRIFT_LEVEL", "5"),
        ("functions.generate_drift", "LOG_LEVEL", "loud"),
        ("bridge", "BRIDGE_IN_FLIGHT", "0"),
        ("bridge", "LISTEN_PORT", "http"),
    ],
)
def test_a_setting_that_cannot_be_used_ends_a_process_with_a_line_that_names_it(
    module: str, variable: str, value: str
) -> None:
    environment = {
        **os.environ,
        "S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        variable: value,
    }
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    lines = output.splitlines()
    assert f"{variable} must be" in lines[-1]
    assert len(lines) == 1 or module == "bridge", "its port is the last thing that it looks at"
    assert "Traceback" not in output

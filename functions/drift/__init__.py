"""Watches the texts: compares the last ones with a reference, keeps the reports, announces a change of state."""

from process.extras import require

require("drift", "pika", "scipy")

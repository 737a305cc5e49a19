"""Learns from labels: takes them in, trains a challenger, and promotes it if it passes the gate."""

from process.extras import require

require("train", "scipy", "sklearn")

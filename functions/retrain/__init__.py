"""Learns from labels: takes them in, trains a challenger, and promotes it if it passes the gate."""

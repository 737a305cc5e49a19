"""Scores texts over HTTP. Imports neither scikit-learn nor NumPy: a small process that starts fast."""

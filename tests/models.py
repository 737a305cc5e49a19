"""What tests say of the models that they make."""

from contracts.manifest import About

ABOUT = About(trained_at="2026-01-02T03:04:05+00:00", trainer="test", data="tests", examples=10)

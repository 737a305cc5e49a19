"""Texts of other kinds than reviews, from the grammars in texts.toml, which were written for this project."""

import random
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files

SENTENCES = (3, 8)
KINDS: Mapping[str, Mapping[str, list[str]]] = tomllib.loads(
    files("functions.generate_drift").joinpath("texts.toml").read_text(encoding="utf-8")
)
"""For each kind of text its phrases by name."""

_SLOT = re.compile(r"\{(?:(?P<least>\d+)-(?P<most>\d+)|(?P<name>\w+))\}")


def generate(seed: int) -> Iterator[tuple[str, str]]:
    """Yield kinds and texts of `SENTENCES` sentences each, without end; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - texts are to vary, not to be secret
    while True:
        kind = chance.choice(list(KINDS))
        chosen = chance.sample(KINDS[kind]["sentence"], chance.randint(*SENTENCES))
        sentences = [_expand(sentence, KINDS[kind], chance) for sentence in chosen]
        yield kind, " ".join(sentence if sentence.endswith("?") else f"{sentence}." for sentence in sentences)


def _expand(pattern: str, phrases: Mapping[str, list[str]], chance: random.Random) -> str:
    def fill(slot: re.Match[str]) -> str:
        if name := slot["name"]:
            return _expand(chance.choice(phrases[name]), phrases, chance)
        return str(chance.randint(int(slot["least"]), int(slot["most"])))

    return _SLOT.sub(fill, pattern)

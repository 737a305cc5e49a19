"""Trains, publishes and promotes the first model, unless the store serves one already.

One that is served stays, unless TRAINER is set and names another trainer than its own: then a model is trained anew.
The promotion log says who it was: PROMOTED_BY, the command that the user gave. With SIGN_SERVED=yes a served model that
no key of MODEL_PUBLIC_KEY has signed is signed, on the user's word.
"""

import os
import sys
from functools import partial

from datasets import DataError, default_cache, load_corpus
from deploy.training_data import choose
from model_store.errors import CurrentRefused, StoreError
from model_store.layout import Current
from model_store.publishing import ModelStore
from process.settings import SettingsError, choice
from process.tls import trust_authorities
from sentiment.trainers import TRAINERS
from sentiment.training import train_artifact

HOLDOUT_SHARE = 0.1

say = partial(print, flush=True)


def main() -> int:
    """Return 0 when the store serves a model; else print one line that says what to do, and return 1."""
    by = os.environ.get("PROMOTED_BY") or "deploy.first_model"
    try:
        trust_authorities()
        trainer = choice("TRAINER", (*TRAINERS,))
        store = ModelStore.from_environment()
        store.ensure_bucket()
        store.check_conditional_writes()
        current, reason = served(store, by), "the first model"
        if current:
            if not os.environ.get("TRAINER") or (known := store.algorithm(current.version)) == trainer:
                say(f"model {current.version} is there: no training")
                return 0
            say(f"model {current.version} is of {known}, and TRAINER asks for {trainer}")
            reason = f"TRAINER={trainer}: trained anew"
        data = os.environ.get("TRAIN_DATA") or choose(default_cache()).split()[0]
        say(f"training {'a' if current else 'the first'} model on {data} ...")
        corpus = load_corpus(data, part="train" if data == "imdb" else None)
        artifact = train_artifact(corpus, holdout_share=HOLDOUT_SHARE, trainer=trainer)
        version = store.publish(artifact)
        store.promote(version, expected=current, by=by, reason=reason)
    except DataError as error:
        say(f"no training data: {error} (TRAIN_DATA=imdb|starter|PATH chooses)")
        return 1
    except (StoreError, SettingsError, ValueError) as error:
        say(f"no first model: {error}")
        return 1
    metrics = artifact.manifest.metrics
    accuracy = f", accuracy {metrics.accuracy:.1%} on {metrics.texts} held out" if metrics else ""
    say(f"model {version}: {artifact.manifest.examples} texts{accuracy}")
    return 0


def served(store: ModelStore, by: str) -> Current | None:
    """Return what is served, in this release's format, signed here where it may be.

    Raises CurrentRefused, and what else signing it raises.
    """
    current = believed(store, by)
    if current and (upgraded := store.upgrade(current, by=by)):
        say(f"model {current.version} is of an older format: packed again as {upgraded.version}")
        return upgraded
    return current


def believed(store: ModelStore, by: str) -> Current | None:
    """Return what is served, signed here where it may be; raises CurrentRefused, and what else signing it raises."""
    try:
        return store.current()
    except CurrentRefused as refused:
        if refused.version is None:
            raise
        if os.environ.get("SIGN_SERVED") != "yes":
            say(f"where you know who made {refused.version}, SIGN_SERVED=yes signs it")
            raise
        current = store.sign_current(refused, by=by)
        say(f"model {refused.version} was not signed: signed")
        return current


if __name__ == "__main__":
    sys.exit(main())

"""Trains, publishes and promotes the first model, unless the store serves one already.

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
from process.settings import SettingsError
from process.tls import trust_authorities

HOLDOUT_SHARE = 0.1

say = partial(print, flush=True)


def main() -> int:
    """Return 0 when the store serves a model; else print one line that says what to do, and return 1."""
    by = os.environ.get("PROMOTED_BY") or "deploy.first_model"
    try:
        trust_authorities()
        store = ModelStore.from_environment()
        store.ensure_bucket()
        store.check_conditional_writes()
        if current := served(store, by):
            if upgraded := store.upgrade(current, by=by):
                say(f"model {current.version} is of an older format: packed again as {upgraded.version}")
            else:
                say(f"model {current.version} is there: no training")
            return 0
        data = os.environ.get("TRAIN_DATA") or choose(default_cache()).split()[0]
        say(f"training the first model on {data} ...")
        corpus = load_corpus(data, part="train" if data == "imdb" else None)
        from sentiment.training import train_artifact  # scikit-learn takes a second to import

        artifact = train_artifact(corpus, holdout_share=HOLDOUT_SHARE)
        version = store.publish(artifact)
        store.promote(version, expected=None, by=by, reason="the first model")
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

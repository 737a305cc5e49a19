"""Following what is served: polled, loaded beside the old model, checked, swapped in. Brings no boto3 and no NumPy."""

from model_store.serving.loader import load_scorer
from model_store.serving.reader import CurrentPoller, StoreReader
from model_store.serving.watcher import ModelWatcher, Refusal, Served

__all__ = ["CurrentPoller", "ModelWatcher", "Refusal", "Served", "StoreReader", "load_scorer"]

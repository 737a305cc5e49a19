"""Versioned models on S3: publish, promote, load, watch, roll back. This is the package's public face.

Importing it brings neither boto3's client nor NumPy: those come with the first use of `ModelStore`.
"""

from model_store.documents import Current, Promotion
from model_store.errors import (
    ConditionalWritesIgnored,
    InvalidDocument,
    ObjectTooLarge,
    PromotionConflict,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    VersionExists,
    VersionNotFound,
    VersionRefused,
)
from model_store.poller import CurrentPoller
from model_store.reader import Unchanged
from model_store.secrets import read_secret
from model_store.serving import fetch_scorer
from model_store.settings import Settings, client_from_environment
from model_store.statistics import Statistics
from model_store.store import ModelStore, VersionInfo
from model_store.watcher import ModelWatcher, Served

__all__ = [
    "ConditionalWritesIgnored",
    "Current",
    "CurrentPoller",
    "InvalidDocument",
    "ModelStore",
    "ModelWatcher",
    "ObjectTooLarge",
    "Promotion",
    "PromotionConflict",
    "Served",
    "Settings",
    "Statistics",
    "StoreDenied",
    "StoreError",
    "StoreUnavailable",
    "Unchanged",
    "VersionExists",
    "VersionInfo",
    "VersionNotFound",
    "VersionRefused",
    "client_from_environment",
    "fetch_scorer",
    "read_secret",
]

"""Writing versions, and choosing the one that is served; brings boto3 and NumPy."""

from model_store.publishing.store import ModelStore, Statistics, VersionInfo

__all__ = ["ModelStore", "Statistics", "VersionInfo"]

"""Versioned models on S3. `model_store.publishing` writes, lists and promotes; `model_store.serving` follows and loads.

They are apart since a process that serves does without boto3 and NumPy, 40 MB.
"""

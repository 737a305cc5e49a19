"""The OpenFaaS functions: each a thin Flask app over `sentiment`, `model_store` and `records`."""

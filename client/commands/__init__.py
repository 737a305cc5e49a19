"""The commands of `python -m sentiment`, a module each, which is imported when it is called."""

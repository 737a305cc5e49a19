"""The HTTP interface of the functions as documents of OpenAPI 3.1, made of the contracts.

No process needs more of it than the document that it serves, which is in a file beside the function:
`python -m contracts.openapi` writes those. The console's has all functions.
"""

"""What crosses a boundary, once: requests, answers, stream messages, records, the manifest, limits.

Every structure is a `msgspec.Struct`: whoever reads one has its types and lengths checked while it is parsed, unknown
keys are ignored, and a JSON Schema can be made of it (`msgspec.json.schema`). The modules are the interface.
"""

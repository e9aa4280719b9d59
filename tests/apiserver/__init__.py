"""A simulated API server that speaks real HTTP: what a cluster does to our driver, as badly as we like.

The conformance suite runs on it and on a real one alike; what only it can do is to be rude when it is told to.
It knows nothing of schemas (no field is unknown to it), of rights, and of admission but what its own files say.
"""

"""The `armillary` command: the one place where every other package is put together."""

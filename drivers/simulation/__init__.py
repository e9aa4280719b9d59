"""A simulated world for tests: everything any driver makes, in memory, with faults on demand."""

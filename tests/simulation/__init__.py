"""Whole lives of the daemon on virtual time, drawn from a seed, in a world ruder than reality."""

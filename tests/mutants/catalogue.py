"""Every mutant, in the order of its subject."""

from __future__ import annotations

from . import catalogue_deletes, catalogue_order, catalogue_sight, catalogue_time

MUTANTS = (
    *catalogue_sight.MUTANTS,
    *catalogue_deletes.MUTANTS,
    *catalogue_order.MUTANTS,
    *catalogue_time.MUTANTS,
)

"""The words of Armillary: owners, specs, units, objects, plans, status. Pure; everyone may import it."""

"""How desired objects come to exist: one contract (`base`), one package a driver."""

"""Databases of deployments on one PostgreSQL server: roles, databases, grants."""

"""What is: desired state, status, secrets and leases in PostgreSQL, and the embedded server itself."""

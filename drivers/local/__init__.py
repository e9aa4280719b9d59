"""The local driver: a real Airflow as real processes of this machine, each kept by its own shim."""

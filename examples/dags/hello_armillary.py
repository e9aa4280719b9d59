"""The first DAG a newcomer sees run: one task that says hello, and where it is.

It has no schedule: it runs when somebody triggers it. `GREETING` is a variable of the deployment, so
changing it (`armillary psql`, `PATCH` or `apply -f`) changes what the next run says.
"""

import logging
import os
import platform

from airflow.sdk import dag, task

log = logging.getLogger(__name__)


@dag(schedule=None, tags=["armillary"])
def hello_armillary() -> None:
    """Say hello once."""

    @task
    def say_hello() -> str:
        """Log one line, and return it so that it can be seen in the run's XComs too."""
        greeting = os.environ.get("GREETING", "it works")
        line = f"Hello from Armillary: {greeting} (Python {platform.python_version()}, process {os.getpid()})"
        log.info(line)
        return line

    say_hello()


hello_armillary()

# The image of Armillary: the command, the daemon and the embedded PostgreSQL, from the lock, for a user without
# privileges. Airflow itself is installed into the home when a deployment first asks for a version, so the first start
# needs a package index (UV_DEFAULT_INDEX names another than the public one, HTTPS_PROXY and SSL_CERT_FILE the way).
#
#   docker build -t armillary .
#
# All of it in one container, like `make up`: PostgreSQL, the daemon, a first Airflow. They listen on the loopback, so
# the container shares the host's network, and the API is http://127.0.0.1:8871 there:
#
#   docker run --name armillary --network host --stop-timeout 120 -v armillary:/var/lib/armillary armillary
#   docker exec armillary armillary status
#
# With a PostgreSQL of yours, the daemon alone, its log on standard output. `migrate` comes before each new release's
# first `serve`; 0.0.0.0 is the container's own network, and what you publish of it needs TLS in front:
#
#   docker run --rm -e ARMILLARY_DATABASE=postgresql://… -v armillary:/var/lib/armillary armillary migrate
#   docker run --rm -e ARMILLARY_DATABASE=postgresql://… -v armillary:/var/lib/armillary armillary token create me
#   docker run --stop-timeout 120 -p 127.0.0.1:8871:8871 -e ARMILLARY_DATABASE=postgresql://… \
#     -v armillary:/var/lib/armillary armillary serve --host 0.0.0.0
#
# Airflow listens on the loopback there too: without --network host its pages stay inside the container.
#
# The home holds the key ring: who loses its volume loses every secret. Stopping the container stops everything in it
# in order, as `armillary down` does, which takes as long as the tasks' grace: hence --stop-timeout.

# Any base with Python 3.11, 3.12 or 3.13 as python3, its venv module, useradd and glibc: an organisation's own, with
# its certificates and its index (ENV PIP_INDEX_URL, UV_DEFAULT_INDEX, SSL_CERT_FILE), is meant to be named here.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /build
# First what changes seldom: uv as the lock names it, the dependencies, what builds us; everything with its hash.
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv /opt/uv \
 && sed -n '/^uv==/,/[^\\]$/p' requirements.lock > uv.lock \
 && /opt/uv/bin/pip install --quiet --no-cache-dir --require-hashes --requirement uv.lock \
 && /opt/uv/bin/uv venv --quiet --python python3 /opt/armillary \
 && /opt/uv/bin/uv pip sync --quiet --require-hashes --python /opt/armillary/bin/python requirements.lock \
 && /opt/uv/bin/uv venv --quiet --python python3 /opt/hatch \
 && /opt/uv/bin/uv pip sync --quiet --require-hashes --python /opt/hatch/bin/python requirements-build.lock
COPY . ./
RUN /opt/hatch/bin/python -m hatchling build -t wheel -d /opt/wheel \
 && /opt/uv/bin/uv pip install --quiet --no-deps --python /opt/armillary/bin/python /opt/wheel/*.whl

FROM ${BASE}
# An entry in /etc/passwd, because PostgreSQL refuses to run as a number that has no name.
RUN useradd --uid 10001 --user-group --no-log-init --no-create-home --home-dir /var/lib/armillary \
      --shell /usr/sbin/nologin armillary \
 && install --directory --owner=armillary --group=armillary --mode=700 /var/lib/armillary
# A container ends with its process 1, and everything in it is killed then, while `up` and `serve` leave Airflow and
# PostgreSQL running on purpose. So process 1 is this: it passes the request to stop on, stops the rest in order, and
# meanwhile buries the processes whose parents died, as an init does.
RUN printf '%s\n' \
      '#!/bin/sh' \
      'case "${1-}" in up | serve) ;; *) exec armillary "$@" ;; esac' \
      'trap "kill -TERM \$child 2>/dev/null" TERM INT' \
      'armillary "$@" & child=$!' \
      'wait "$child"; code=$?' \
      'while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done' \
      'trap "" TERM INT' \
      'armillary down' \
      'exit "$code"' \
      > /usr/local/bin/armillary-container && chmod 755 /usr/local/bin/armillary-container
COPY --from=build /opt/armillary /opt/armillary
ENV PATH=/opt/armillary/bin:$PATH ARMILLARY_HOME=/var/lib/armillary ARMILLARY_LOG_FORMAT=json PYTHONUNBUFFERED=1
USER armillary
WORKDIR /var/lib/armillary
VOLUME /var/lib/armillary
EXPOSE 8871
# The process answers where it says that it listens; whether it gets its work done is /readyz, which is for whoever
# routes to it. A proxy of the environment is not asked: it would look at its own loopback.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["/opt/armillary/bin/python", "-Ic", "\
import json, os, urllib.request as http; \
url = json.load(open(os.environ['ARMILLARY_HOME'] + '/daemon.json'))['url']; \
http.build_opener(http.ProxyHandler({})).open(url + '/healthz', timeout=4)"]
ENTRYPOINT ["armillary-container"]
CMD ["up"]

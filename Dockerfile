# The node as an image: hub, runner's sibling, Docker Action. Classic builder and BuildKit alike.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock requirements-s3.lock requirements-mcp.lock ./
# Two pure Python packages come as sources; nothing here needs a compiler. With what every backend needs, and MCP: an
# image is built before a job names one, and a hub runs from it.
RUN python -m venv /opt/p2pcache \
 && /opt/p2pcache/bin/pip install -q --no-cache-dir --disable-pip-version-check --no-compile --use-pep517 \
      --require-hashes --no-deps -r requirements.lock -r requirements-s3.lock \
      -r requirements-mcp.lock
COPY pyproject.toml README.md LICENSE ./
COPY p2pcache p2pcache
RUN HATCH_BUILD_NO_HOOKS=true /opt/p2pcache/bin/pip install -q --no-cache-dir --disable-pip-version-check \
      --no-compile --no-deps . \
 && /opt/p2pcache/bin/pip uninstall -q -y pip setuptools 2>/dev/null; \
    find /opt/p2pcache -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} + \
 && /opt/p2pcache/bin/python -m compileall -q -j 0 /opt/p2pcache/lib

FROM ${BASE} AS node
# A volume mounted here belongs to the user that compose files choose.
RUN install -d -o 10001 -g 10001 /data
COPY --from=build /opt/p2pcache /opt/p2pcache
COPY docker/start docker/finish /usr/local/bin/p2pcache-action/
ENV PATH=/opt/p2pcache/bin:$PATH PYTHONUNBUFFERED=1

# A hub for a long life: docker build --target hub (docs/deploying.md). State is in /data alone, so that the root file
# system may be read-only.
FROM node AS hub
COPY docker/healthy /usr/local/bin/p2pcache-healthy
USER 10001:10001
ENV CACHE_DIR=/data PYTHONDONTWRITEBYTECODE=1
VOLUME /data
EXPOSE 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["p2pcache-healthy"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["p2pcache", "serve", "--hub", "--listen", "127.0.0.1:8080"]

FROM node
# The Docker Action needs the engine's socket, which is root's; compose files choose a user of their own.
ENTRYPOINT ["p2pcache"]
CMD ["--help"]

# One image for every part: `orchestrator serve`, `orchestrator worker`, `orchestrator migrate`.
# Everything that is installed is pinned and hashed in the two locks; nothing is resolved here.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY requirements-uv.lock requirements.lock ./
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-uv.lock \
 && python -m venv --without-pip /opt/orchestrator \
 && uv pip sync --no-cache --python /opt/orchestrator/bin/python --require-hashes requirements.lock
COPY pyproject.toml README.md ./
COPY orchestrator/ orchestrator/
COPY workers/ workers/
COPY sandbox/ sandbox/
COPY migrations/ migrations/
RUN uv pip install --no-cache --python /opt/orchestrator/bin/python --no-deps --no-build-isolation . \
 && /opt/orchestrator/bin/orchestrator version

FROM python:${PYTHON}-slim
# By number, so that a cluster can see that it is not root.
RUN groupadd --system --gid 10001 orchestrator \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /data orchestrator \
 && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/orchestrator /opt/orchestrator
ENV PATH=/opt/orchestrator/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ORCH_DATA_DIR=/data \
    ORCH_HOST=0.0.0.0 \
    ORCH_PORT=8700 \
    ORCH_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8700
# For the API; a worker says that it lives in the database, and /readyz tells.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['ORCH_PORT']}/healthz\", timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["orchestrator", "serve"]

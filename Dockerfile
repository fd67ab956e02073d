FROM python:3.11-slim-bookworm

# A user without rights; its two folders are all that it can write to.
RUN useradd --system --uid 10001 --home-dir /var/lib/querywatch querywatch \
    && install -d -o querywatch -g querywatch -m 0700 /var/lib/querywatch /var/cache/querywatch

WORKDIR /opt/querywatch
COPY requirements/run.lock requirements/
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.lock

COPY pyproject.toml README.md LICENSE ./
COPY detector detector
COPY models models
COPY connectors connectors
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-index --no-build-isolation .

USER querywatch
ENV NUMBA_CACHE_DIR=/var/cache/querywatch PYTHONUNBUFFERED=1

# Compiles the kernels into the image, so that a container is up in seconds. Numba needs that folder writable,
# and on a processor of another kind than the builder's it compiles them there once more.
COPY examples examples
RUN set -eu; for log in examples/*.ndjson*; do querywatch replay "$log" --alerts /dev/null; done

WORKDIR /var/lib/querywatch
CMD ["querywatch", "run", "--config", "/etc/querywatch/querywatch.toml"]

# Every function and the bridge, each an image of its own: LOCK says what is installed, MODULE what runs.
#   docker build --build-arg LOCK=functions --build-arg MODULE=functions.predict --tag sentiment-predict .
# Builds with and without BuildKit. Sizes and how to run them: docs/deploying.md.
# Why by digest, and which images are not: docs/deploying.md.
ARG BASE_IMAGE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# The lock files before the code: this layer is built again only when a dependency changes, and images with the
# same lock share it. Bytecode is compiled here since a read-only file system can't keep any; not by date, so that
# equal files make equal layers.
FROM ${BASE_IMAGE} AS dependencies
ARG LOCK
# Not empty, the process can tell a collector what it does: docs/operating.md.
ARG OTEL=
COPY requirements/${LOCK}.lock requirements/otel.lock /
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --disable-pip-version-check --no-cache-dir --no-compile \
      --only-binary :all: --require-hashes --requirement /${LOCK}.lock ${OTEL:+--requirement /otel.lock} \
 && PYTHONNODEBUGRANGES=1 /venv/bin/python -m compileall -q -j 0 -o 2 --invalidation-mode unchecked-hash /venv/lib

# The packages that the parts share, and of the others only the part that runs.
FROM ${BASE_IMAGE} AS code
ARG MODULE
WORKDIR /src
COPY . .
RUN mkdir /app \
 && part=$(echo ${MODULE} | tr . /) \
 && cp -r --parents contracts process datasets sentiment records model_store messages ${part%/*}/*.py ${part}* /app \
 && PYTHONNODEBUGRANGES=1 python -m compileall -q -o 2 --invalidation-mode unchecked-hash /app

FROM ${BASE_IMAGE}
# The standard library for the settings below; a layer that all share.
RUN PYTHONNODEBUGRANGES=1 python -m compileall -q -j 0 -o 2 --invalidation-mode unchecked-hash \
      -x '/(test|idlelib|lib2to3|(dist|site)-packages)/' \
      "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
# Small processes: why each, SMALL_PROCESS in process/memory.py.
ENV MALLOC_ARENA_MAX=1 \
    MALLOC_MMAP_THRESHOLD_=131072 \
    MALLOC_TRIM_THRESHOLD_=131072 \
    PYTHONOPTIMIZE=2 \
    PYTHONNODEBUGRANGES=1 \
    PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    LISTEN_HOST=0.0.0.0 \
    LISTEN_PORT=8080
COPY --from=dependencies /venv /venv
COPY --from=code /app /app
ARG MODULE
ENV MODULE=${MODULE}
LABEL org.opencontainers.image.title="sentiment: ${MODULE}" \
      org.opencontainers.image.description="Sentiment analysis on OpenFaaS, RabbitMQ streams, MongoDB and S3" \
      org.opencontainers.image.licenses="MIT"
WORKDIR /app
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# The shell only puts the name in: exec makes Python process 1, which is the one that gets SIGTERM.
CMD ["sh", "-c", "exec python -m \"$MODULE\""]

# The environment of the lock files, and the project as a fresh clone has it. How to run it: docs/environment.md.
#   docker build -t whereabouts .
#   docker build -t whereabouts --build-arg TORCH=cuda .
FROM python:3.11-slim-bookworm

ARG TORCH=cpu
ARG PIP_EXTRA_INDEX_URL
# make takes VENV from here, in a mounted checkout too; the home folder is one that any user may write to
ENV VENV=/opt/whereabouts PATH=/opt/whereabouts/bin:$PATH HOME=/tmp PIP_NO_CACHE_DIR=1

# Debian keeps one version of a package: a pinned one would be gone by the next build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1000 whereabouts && install -d -o 1000 -g 1000 /whereabouts

WORKDIR /whereabouts
# what `make ready` reads and no more, so that a change of anything else installs nothing again
COPY Makefile README.md pyproject.toml requirements.lock requirements-cpu.lock requirements-cuda.lock ./
COPY lib/whereabouts/__init__.py lib/whereabouts/
COPY lib/whereabouts/pipeline/system.py lib/whereabouts/pipeline/
RUN make ready TORCH="$TORCH"

COPY --chown=1000:1000 . .
USER 1000:1000
CMD ["make", "repro"]

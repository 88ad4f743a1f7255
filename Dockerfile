# loadgen with Locust, in a virtual environment without pip, on a bare Python.
# All of Python that is installed is locked, with hashes: `make lock` refreshes this digest and the list.
FROM python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7 AS base

FROM base AS build
WORKDIR /source
# For the modules in C; what they are built with stays in this stage.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
RUN python -m venv --without-pip /opt/loadgen
# What loadgen stands on: this layer lasts until the list changes.
COPY requirements/locust.txt requirements/
RUN pip --python /opt/loadgen install --require-hashes --requirement requirements/locust.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY loadgen loadgen
RUN pip --python /opt/loadgen install --no-deps --no-build-isolation .

FROM base
# A new volume takes its owner from the directory it is mounted on.
RUN useradd --uid 10001 --create-home loadgen \
    && install --directory --owner loadgen --group loadgen /records
COPY --from=build /opt/loadgen /opt/loadgen
ENV PATH=/opt/loadgen/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /srv
COPY bench/locustfile.py bench/
USER loadgen
CMD ["loadgen", "--help"]

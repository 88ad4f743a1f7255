# loadgen with Locust, in a virtual environment without pip, on a bare Python.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
WORKDIR /source
RUN python -m venv --without-pip /opt/loadgen
# What loadgen stands on, by pyproject.toml alone: this layer lasts until that file changes.
COPY pyproject.toml ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      print(*project['dependencies'], *project['optional-dependencies']['locust'], sep='\n')" \
      > requirements.txt \
    && pip --python /opt/loadgen install --requirement requirements.txt
COPY README.md LICENSE ./
COPY loadgen loadgen
RUN pip --python /opt/loadgen install --no-deps .

FROM python:${PYTHON_VERSION}-slim
# A new volume takes its owner from the directory it is mounted on.
RUN useradd --uid 10001 --create-home loadgen \
    && install --directory --owner loadgen --group loadgen /records
COPY --from=build /opt/loadgen /opt/loadgen
ENV PATH=/opt/loadgen/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /srv
COPY bench/locustfile.py bench/
USER loadgen
CMD ["loadgen", "--help"]

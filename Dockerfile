# The operator and the command line in one image; docs/image.md has the commands, the SBOM and what was not tried.
# A release pins the base by digest: --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src

# The locked packages, verified by hash and as wheels only: nothing is compiled, so no step depends on the architecture.
# The steps after this one need no network.
COPY requirements-image.lock ./
RUN pip download --no-cache-dir --no-deps --only-binary :all: --require-hashes --dest /wheels \
    --requirement requirements-image.lock

RUN python -m venv /build && /build/bin/pip install --no-index --find-links /wheels hatchling
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /build/bin/python -m hatchling build --target wheel --directory /dist

# Only what the wheel asks for is taken from the locked packages: no build tools in the image.
RUN python -m venv /app && /app/bin/pip install --no-index --find-links /wheels /dist/*.whl \
    && /app/bin/pip uninstall --yes pip setuptools

FROM ${PYTHON_IMAGE}
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that the kubelet can tell that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["deepseek-operator"]
CMD ["run"]

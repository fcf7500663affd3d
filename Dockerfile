# The operator and the command line in one image. Build: docker build -t deepseek-operator:0.1.0 .
FROM python:3.11-slim AS build
WORKDIR /src

# Every locked package, verified by hash; the steps after this one need no network.
COPY requirements.lock ./
RUN pip wheel --no-cache-dir --no-deps --require-hashes --wheel-dir /wheels --requirement requirements.lock

RUN python -m venv /build && /build/bin/pip install --no-index --find-links /wheels hatchling
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /build/bin/python -m hatchling build --target wheel --directory /dist

# Only what the wheel asks for is taken from the locked packages: no test or build tools in the image.
RUN python -m venv /app && /app/bin/pip install --no-index --find-links /wheels /dist/*.whl \
    && /app/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that the kubelet can tell that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["deepseek-operator"]
CMD ["run"]

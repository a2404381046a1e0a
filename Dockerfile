# The server as an image: `docker compose up -d` (compose.yaml says how it is meant to be run).
# The tag, not a digest: a digest keeps an old system with its holes, and this file has no release that would move it. To pin
# one, build with --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# With a C compiler the protocol core is compiled; where none can be fetched, it runs as it is.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev || echo "no compiler"
# What is fetched is what the lists say, by version and hash; what builds the package stays here.
COPY requirements ./requirements
RUN python3 -m venv /opt/build && python3 -m venv /opt/tandem \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt -r requirements/build.txt \
 && /opt/tandem/bin/pip install --no-cache-dir --require-hashes -r requirements/postgres.txt
COPY hatch_build.py pyproject.toml README.md LICENSE ./
COPY app ./app
COPY socks ./socks
COPY transport ./transport
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/wheels . \
 && /opt/tandem/bin/pip install --no-deps /opt/wheels/*.whl \
 && /opt/tandem/bin/pip uninstall --yes --quiet pip

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/tandem /opt/tandem
# A named volume takes its owner from the image.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/tandem
ENV PATH=/opt/tandem/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    STATE_DIRECTORY=/var/lib/tandem \
    RUNTIME_DIRECTORY=/run/tandem
USER 10001:10001
EXPOSE 8120/udp 8121/udp
HEALTHCHECK --interval=20s --timeout=10s --start-period=15s \
  CMD ["tandem", "status", "--admin", "127.0.0.1:8118"]
ENTRYPOINT ["tandem"]
CMD ["server"]

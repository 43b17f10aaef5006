# A small image that runs as a user without rights. Build: docker build --tag leveret .
# Run: docker run --publish 5672:5672 --volume leveret:/var/lib/leveret leveret

FROM python:3.13-slim AS build
COPY pyproject.toml README.md LICENSE /source/
COPY broker /source/broker
COPY protocol /source/protocol
COPY storage /source/storage
RUN python -m venv /opt/leveret \
    && /opt/leveret/bin/pip install --no-cache-dir --disable-pip-version-check /source \
    && /opt/leveret/bin/pip uninstall --yes pip

FROM python:3.13-slim
RUN useradd --system --uid 999 --user-group --no-create-home leveret \
    && install --directory --owner leveret --group leveret --mode 0700 /var/lib/leveret
COPY --from=build /opt/leveret /opt/leveret
ENV PATH=/opt/leveret/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    LEVERET_DATA_DIR=/var/lib/leveret
USER leveret
VOLUME /var/lib/leveret
EXPOSE 5672
ENTRYPOINT ["leveret"]

# A small image that runs as a user without rights, also with a read-only root; takes the official RabbitMQ image's place.
# Build: docker build --tag leveret .
# Run: docker run --publish 5672:5672 --volume leveret:/var/lib/rabbitmq leveret

FROM python:3.13-slim AS build
COPY pyproject.toml README.md LICENSE /source/
COPY broker /source/broker
COPY protocol /source/protocol
COPY storage /source/storage
RUN python -m venv --without-pip /opt/leveret \
    && python -m pip --python /opt/leveret/bin/python install --no-cache-dir --disable-pip-version-check \
        '/source[oauth2]' \
    && /opt/leveret/bin/leveret install-names /opt/leveret/bin

FROM python:3.13-slim
# 999 owns the volumes of the official image too. Its directory is open to all, so that any other user
# (docker run --user) can make a data directory in it; what is made there is closed to all but that user.
RUN groupadd --system --gid 999 rabbitmq \
    && useradd --system --uid 999 --gid 999 --home-dir /var/lib/rabbitmq --no-create-home rabbitmq \
    && install --directory --owner rabbitmq --group rabbitmq --mode 1777 /var/lib/rabbitmq \
    && install --directory /etc/rabbitmq/conf.d
COPY --from=build /opt/leveret /opt/leveret
# The base has none of Python's own modules compiled. Those that are used are compiled here, once: otherwise each start
# and each health check would do it, which takes three times as long as all else that a check does.
RUN /opt/leveret/bin/python -c "import importlib, pkgutil, broker, protocol, storage; \
    [importlib.import_module(each.name) for package in (broker, protocol, storage) \
        for each in pkgutil.walk_packages(package.__path__, package.__name__ + '.') if 'main' not in each.name]; \
    [importlib.import_module(name) for name in ('uvloop', 'jwt.jwks_client', 'uvicorn.protocols.http.h11_impl')]"
COPY container/health.py /opt/leveret/health.py
COPY container/rabbitmq.conf /etc/rabbitmq/rabbitmq.conf
ENV PATH=/opt/leveret/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    LEVERET_DATA_DIR=/var/lib/rabbitmq/leveret \
    LEVERET_LOOPBACK_USERS=none \
    RABBITMQ_CONFIG_FILE=/etc/rabbitmq/rabbitmq.conf \
    RABBITMQ_CONFIG_FILES=/etc/rabbitmq/conf.d
USER 999:999
WORKDIR /var/lib/rabbitmq
VOLUME /var/lib/rabbitmq
EXPOSE 5671 5672 15671 15672 15691 15692
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-IS", "/opt/leveret/health.py"]
# No entrypoint, as in `docker run leveret rabbitmqctl help`: what is given instead of the command is run as it is.
CMD ["leveret"]

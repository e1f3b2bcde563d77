# tocsin in a container: docker build -t tocsin .
#
#   docker run --read-only --cap-drop ALL -v tocsin-data:/var/lib/tocsin \
#     -v ./tocsin.yml:/etc/tocsin/tocsin.yml:ro -p 127.0.0.1:8080:8080 tocsin
#
# docker-compose.yml runs it with a Valkey and a mail catcher beside it.
FROM python:3.13.14-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build

# Every package is checked against the lock's hashes when it is fetched; from there on nothing is.
# The lock holds the development tools too: they are fetched, and only tocsin's own are installed.
COPY requirements.lock ./
RUN pip download --require-hashes --no-deps --only-binary :all: --dest /wheels --requirement requirements.lock
RUN pip install --no-index --find-links /wheels hatchling editables

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY rules ./rules
COPY alerts ./alerts
RUN pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m venv /opt/tocsin \
    && /opt/tocsin/bin/pip install --no-index --find-links /wheels 'tocsin[embedded]' \
    && /opt/tocsin/bin/pip uninstall --yes pip


FROM python:3.13.14-slim
RUN groupadd --gid 10001 tocsin \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/tocsin --shell /usr/sbin/nologin tocsin \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/tocsin
COPY --from=build /opt/tocsin /opt/tocsin
ENV PATH=/opt/tocsin/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

# What is written goes to the data directory alone; the rest may be read-only.
USER 10001:10001
WORKDIR /var/lib/tocsin
VOLUME /var/lib/tocsin
EXPOSE 8080
STOPSIGNAL SIGTERM
# Alive, not ready: restarting tocsin does not bring a store back.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=2); c.request('GET', '/-/healthy'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["tocsin"]
CMD ["run", "--config", "/etc/tocsin/tocsin.yml"]

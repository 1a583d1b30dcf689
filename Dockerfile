# SPDX-License-Identifier: Apache-2.0
# A stack in a container, built from the checkout: docker compose up, or podman.
FROM python:3.13-slim

# The virtual environment holds the pinned runtime dependencies and an ordinary (not editable) installation.
COPY requirements/run.txt /build/requirements/
RUN python -m venv /opt/sigbox && /opt/sigbox/bin/pip install --no-cache-dir --no-deps --require-hashes -r /build/requirements/run.txt
COPY pyproject.toml README.md LICENSE /build/
COPY sigcore /build/sigcore
COPY oidc_dev /build/oidc_dev
COPY ca /build/ca
COPY tlog /build/tlog
COPY tsa /build/tsa
COPY client /build/client
COPY stack /build/stack
RUN /opt/sigbox/bin/pip install --no-cache-dir --no-deps --no-build-isolation /build

# Keys and logs are the user's own: not root's, and on a volume.
RUN useradd --system --uid 7780 sigbox && install -d -o sigbox -m 0700 /data
USER sigbox
VOLUME /data
EXPOSE 7780
ENTRYPOINT ["/opt/sigbox/bin/sigbox"]
CMD ["up", "--listen", "0.0.0.0:7780", "--data", "/data"]

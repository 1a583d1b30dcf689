# SPDX-License-Identifier: Apache-2.0
# A stack in containers, built from the checkout: docker compose up --build, or podman. Alone it runs all roles: docker run -v data:/data.
FROM python:3.13-slim

# The virtual environment holds the pinned runtime dependencies, the drivers of PostgreSQL and of PKCS#11 tokens, which are imported
# where they are used alone, and an ordinary (not editable) installation. A token's own library is mounted.
COPY requirements/run.txt requirements/postgres.txt requirements/pkcs11.txt /build/requirements/
RUN cd /build/requirements && python -m venv /opt/sigbox \
    && /opt/sigbox/bin/pip install --no-cache-dir --no-deps --require-hashes -r run.txt -r postgres.txt -r pkcs11.txt
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
# A fresh volume takes owner and mode of the folder that it is mounted over, so there is one for each of compose.yaml.
RUN useradd --system --uid 7780 sigbox \
    && cd / && for folder in data data/oidc data/ca data/ct data/rekor data/rekor-v1 data/tsa data/tuf data/anchor data/console data/tls data/audit; \
        do install -d -o sigbox -m 0700 $folder; done \
    && for folder in data/public data/public/oidc; do install -d -o sigbox -m 0755 $folder; done
USER sigbox
VOLUME /data
EXPOSE 7780
ENTRYPOINT ["/opt/sigbox/bin/sigbox"]
CMD ["up", "--listen", "0.0.0.0:7780", "--data", "/data"]

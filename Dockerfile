# mmrest in a container: serves a model over HTTP behind a token. docs/src/serve.md, "Container", has the commands.

FROM rust:1.95-slim-bookworm AS builder
WORKDIR /build
COPY Cargo.toml Cargo.lock LICENSE-MIT LICENSE-APACHE ./
COPY crates crates
COPY tests/mutation tests/mutation
COPY tests/support tests/support
COPY xtask xtask
# The program has them in it.
COPY configs configs
COPY data/folds data/folds
RUN cargo build --release --locked --package mmrest

FROM debian:bookworm-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin mmrest
COPY --from=builder /build/target/release/mmrest /usr/local/bin/mmrest
USER 10001
WORKDIR /work
EXPOSE 8080
# The image has no curl; bash opens the connection itself.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["mmrest"]
CMD ["serve", "/run-to-serve", "--host", "0.0.0.0", "--port", "8080", "--token-file", "/run/secrets/mmrest-token"]

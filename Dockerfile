# One static binary on an empty image: docker build -t epitaph .
# For other machines too: docker buildx build --platform linux/amd64,linux/arm64 -t epitaph .
# In the place of RocketMQ's image, for charts, operators and compose files as they are: docker build --target rocketmq -t epitaph:rocketmq .
FROM --platform=${BUILDPLATFORM:-linux} golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
RUN CGO_ENABLED=0 GOOS="${TARGETOS:-linux}" GOARCH="${TARGETARCH}" go build -trimpath -tags nethttpomithttp2,urfave_cli_no_docs,urfave_cli_no_suggest \
    -ldflags "-s -w -funcalign=16 -X github.com/epitaph-mq/epitaph/cli.release=${VERSION}" -o /epitaph .
# /data and /key are there so that volumes mounted on them belong to the user of the image from the start.
RUN mkdir -p /root-fs/etc /root-fs/data /root-fs/key /root-fs/sbom \
 && printf 'epitaph:x:65532:65532::/data:/epitaph\n' > /root-fs/etc/passwd \
 && chown 65532:65532 /root-fs/data /root-fs/key
# What is in the program, as CycloneDX.
RUN go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json -noserial -version "${VERSION}" \
    -output /root-fs/sbom/epitaph.cdx.json /epitaph

FROM scratch AS plain
COPY --from=build /root-fs/ /
COPY --from=build /epitaph /epitaph
COPY LICENSE NOTICE THIRD_PARTY_LICENSES /licenses/
USER 65532:65532
EXPOSE 9876 9886 7946/tcp 7946/udp
STOPSIGNAL SIGTERM
# Whether it lives, at its own port; it says no only after 30 s without any answer.
HEALTHCHECK --interval=5s --timeout=40s --retries=1 --start-period=60s CMD ["/epitaph", "health", "--live"]
ENTRYPOINT ["/epitaph"]
CMD ["serve", "--data", "/data"]

# A static shell, for start lines such as "sh mqnamesrv".
FROM debian:bookworm-slim AS rocketmq-root
RUN apt-get update && apt-get install -y --no-install-recommends busybox-static
COPY deploy/rocketmq/ cli/stand/mqnamesrv.sh /layout/
COPY --from=build /epitaph /epitaph
RUN sh /layout/root.sh /root-fs /bin/busybox /epitaph

FROM scratch AS rocketmq
COPY --from=rocketmq-root /root-fs/ /
COPY --from=build /root-fs/sbom/ /sbom/
COPY LICENSE NOTICE THIRD_PARTY_LICENSES /licenses/
ENV PATH=/home/rocketmq/rocketmq/bin:/usr/local/bin:/usr/bin:/bin HOME=/home/rocketmq ROCKETMQ_HOME=/home/rocketmq/rocketmq ROCKETMQ_VERSION=5.5.0
USER 3000:3000
WORKDIR /home/rocketmq/rocketmq/bin
EXPOSE 9876
STOPSIGNAL SIGTERM
ENTRYPOINT ["/home/rocketmq/rocketmq/bin/docker-entrypoint.sh"]
CMD ["nameserver"]

# What is built unless a target is named.
FROM plain

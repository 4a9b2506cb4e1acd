# One static binary on an empty image. docker build -t epitaph .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs \
    -ldflags "-s -w -X github.com/epitaph-mq/epitaph/cli.release=${VERSION}" -o /epitaph . \
 && mkdir -p /data && printf 'epitaph:x:65532:65532::/data:/epitaph\n' > /passwd

FROM scratch
COPY --from=build /passwd /etc/passwd
COPY --from=build /epitaph /epitaph
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
EXPOSE 9876 7946/tcp 7946/udp
ENTRYPOINT ["/epitaph"]
CMD ["serve", "--data", "/data"]

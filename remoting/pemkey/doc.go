// Package pemkey reads private keys and certificates from PEM files as RocketMQ's NameServer reads them (netty's PemReader
// and BouncyCastlePemReader): PKCS#8, PKCS#1 and SEC 1, plain and in every encryption that 5.5.0 or 4.9.7 loads. It only
// reads: what stands here is not good enough to protect a new key.
package pemkey

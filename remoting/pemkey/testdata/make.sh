#!/bin/sh
# Writes keys.txt: every form and every encryption in which OpenSSL 3 with its legacy provider writes private keys that
# a TLS server can have. The password of all is 123456. Run it here; the keys are new each time, and java.txt must be
# made anew (EPITAPH_ACCEPT=1 go test ./test/interop -run TestJavaLoadsKeys).
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=$work/keys.txt
legacy="-provider legacy -provider default"
password="-passout pass:123456"
note='Private keys of tests, made by make.sh: they protect nothing.'
printf '%s\n' "$note" >"$out"

# keep NAME COMMAND...: adds what the command writes, unless OpenSSL cannot write that form.
keep() {
  file=$1; shift
  if "$@" >"$work/key" 2>/dev/null && grep -q 'PRIVATE KEY' "$work/key"; then
    printf -- '-- %s --\n' "$file" >>"$out"; cat "$work/key" >>"$out"
  else
    echo "OpenSSL does not write $file" >&2
  fi
}

# 1024 bits keep the file small; they protect nothing.
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out "$work/rsa" 2>/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/ec"
openssl genpkey -algorithm ED25519 -out "$work/ed25519"
ciphers=$(openssl list -cipher-algorithms $legacy | tr -d ' ' | grep -v '=>' | tr 'A-Z' 'a-z' | sort -u)

for kind in rsa ec ed25519; do
  openssl req -x509 -key "$work/$kind" -days 36500 -subj "/CN=$kind" -out "$work/cert"
  printf -- '-- %s.crt --\n' "$kind" >>"$out"; cat "$work/cert" >>"$out"
  in="-in $work/$kind"
  keep pkcs8/$kind/plain openssl pkcs8 -topk8 -nocrypt $in
  for pbe in MD2-DES MD2-RC2-64 MD5-DES SHA1-DES MD5-RC2-64 SHA1-RC2-64 SHA1-RC4-128 SHA1-RC4-40 SHA1-3DES SHA1-2DES SHA1-RC2-128 SHA1-RC2-40; do
    keep pkcs8/$kind/pbe-$pbe openssl pkcs8 -topk8 -v1 PBE-$pbe $legacy $in $password
  done
  keep pkcs8/$kind/default openssl pkcs8 -topk8 $in $password
  keep pkcs8/$kind/scrypt openssl pkcs8 -topk8 -scrypt $in $password
  for cipher in $ciphers; do
    keep pkcs8/$kind/pbes2-$cipher openssl pkcs8 -topk8 -v2 $cipher $legacy $in $password
  done
  for prf in hmacWithMD5 hmacWithSHA1 hmacWithSHA224 hmacWithSHA256 hmacWithSHA384 hmacWithSHA512 hmacWithSHA512-224 \
      hmacWithSHA512-256 hmacWithSHA3-256 hmacWithSM3; do
    keep pkcs8/$kind/prf-$prf openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf $prf $in $password
  done
done
traditional() { # FORM KIND COMMAND...
  form=$1; kind=$2; shift 2
  keep $form/$kind/plain "$@" -in "$work/$kind"
  for cipher in $ciphers; do
    keep $form/$kind/$cipher "$@" -in "$work/$kind" -$cipher $legacy $password
  done
}
traditional pkcs1 rsa openssl rsa -traditional
traditional sec1 ec openssl ec
mv "$out" keys.txt

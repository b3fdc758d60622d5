#!/bin/sh
# A signed request by openssl and the shell alone: prints its JSON.
# usage: sign.sh KEY.pem PAYLOAD ALG KID NONCE URL, where ALG is ES256 or RS256
set -eu
key=$1 payload=$2 alg=$3 kid=$4 nonce=$5 url=$6

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# An ECDSA signature is two numbers of 32 bytes, and openssl writes them as DER.
numbers() {
    openssl asn1parse -inform DER | sed -n 's/.*INTEGER *://p' | while read -r number; do
        printf '%64s\n' "$number" | tr ' ' 0 | sed 's/../&\n/g'
    done | while read -r byte; do
        [ -z "$byte" ] || printf "\\$(printf '%03o' "0x$byte")"
    done
}

protected=$(printf '{"alg":"%s","kid":"%s","nonce":"%s","url":"%s"}' \
    "$alg" "$kid" "$nonce" "$url" | base64url)
payload=$(printf '%s' "$payload" | base64url)
sign() { printf '%s.%s' "$protected" "$payload" | openssl dgst -sha256 -sign "$key"; }
case $alg in
ES256) signature=$(sign | numbers | base64url) ;;
RS256) signature=$(sign | base64url) ;;
esac
printf '{"protected":"%s","payload":"%s","signature":"%s"}\n' "$protected" "$payload" "$signature"

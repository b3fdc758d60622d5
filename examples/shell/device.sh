#!/bin/sh
# A device's certificate with nothing but sh, openssl and curl: the first one, and the next one when
# it is time. Run it at boot and every hour; it may be cut off anywhere, and goes on the next time.
#
#   device.sh SERVER SERIAL FINGERPRINT TOKEN-FILE DIRECTORY
#
# Exit codes: 0 done, 1 refused, 2 usage, 75 try later, 76 not the pinned server, 77 local files.
set -u
umask 077 # every file made here is for its owner alone
LC_ALL=C
export LC_ALL

say() { printf '%s\n' "$*" >&2; }
fail() {
    code=$1
    shift
    say "$@"
    exit "$code"
}

# --- files: after a power cut there is the old one or the new one, never half of one ---

flush() { sync "$@" 2>/dev/null || sync; } # some know no `sync FILE`

# Puts NAME.tmp in the place of NAME.
keep() {
    flush "$1.tmp" && mv "$1.tmp" "$1" && flush . || fail 77 "cannot write $1 in $directory"
}

# --- the server ---

# Waits before the same is tried again, not sooner than asked and not with the whole fleet at once;
# or ends. The arguments: why, and the seconds that the server asked for, if it did.
later() {
    asked=${2:-0}
    tries=$((tries - 1))
    if [ "$tries" -le 0 ] || [ "$asked" -gt 300 ]; then
        fail 75 "$1; nothing is lost, run the same again later"
    fi
    random=$(od -An -N2 -tu2 /dev/urandom)
    if [ "$asked" -gt 0 ]; then
        wait=$((asked + 1 + random % (asked / 4 + 1)))
    else
        wait=$((pause + random % (pause + 1)))
        pause=$((pause < 32 ? pause * 2 : pause))
    fi
    say "$1; trying again in $wait s"
    sleep "$wait"
}

# `curl` without a configuration of its user's, within bounds. It prints the status.
fetch() {
    rm -f answer.tmp head.tmp # without a body, curl would leave the answer before
    curl --disable --silent --show-error --proto =https --tlsv1.2 --connect-timeout 10 \
        --max-time 60 --max-filesize 65536 --write-out '%{http_code}' \
        --dump-header head.tmp --output answer.tmp "$@"
}

fingerprint_of() {
    openssl x509 -in "$1" -noout -fingerprint -sha256 2>/dev/null |
        sed 's/.*=//' | tr -d : | tr A-F a-f
}

# Finds the root with the pinned fingerprint. Until it is found nothing is verified, so nothing is
# sent but this one question, and nothing is kept but the certificate that matches.
pin() {
    [ "$(fingerprint_of root-ca.pem)" = "$fingerprint" ] && return
    while :; do
        status=$(fetch --insecure "$server/v1/trust-bundle" </dev/null)
        case $status in
        000 | 429 | 5??) later "$server has no answer ($status)" ;;
        *) break ;;
        esac
    done
    rm -f root.*.tmp
    [ ! -e answer.tmp ] ||
        awk '/^-----BEGIN/ { n++ } n > 0 && n <= 16 { print > ("root." n ".tmp") }' answer.tmp
    for root in root.*.tmp; do
        if [ "$(fingerprint_of "$root")" = "$fingerprint" ]; then
            openssl x509 -in "$root" -out root-ca.pem.tmp && keep root-ca.pem
            return
        fi
    done
    fail 76 "$server offers no root with the fingerprint $fingerprint: compare it, and the address"
}

# `post PATH BODY [CURL-OPTION...]`, as often as it takes; BODY is a function that writes it, so
# that no secret is an argument that `ps` shows. Leaves the answer; fails if the server says no.
post() {
    path=$1
    body=$2
    shift 2
    while :; do
        # Without --capath, curl would trust the system's roots as well.
        status=$("$body" | fetch --cacert root-ca.pem --capath none \
            --header 'Content-Type: application/json' --data-binary @- "$@" "$server$path")
        case $? in
        0) ;;
        60) fail 76 "$server is not the pinned server, or this clock is wrong; nothing was sent" ;;
        23 | 26 | 58 | 77) fail 77 "curl cannot use the files in $directory" ;;
        *) status=000 ;;
        esac
        case $status in
        000) later "$server has no answer" ;;
        202 | 429 | 5??) later "$(said)" "$(retry_after)" ;;
        2??) return 0 ;;
        *) return 1 ;;
        esac
    done
}

retry_after() { sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]\{1,6\}\).*/\1/p' head.tmp; }

# A text of the answer. Enough for this API, whose texts hold no quotes and no escape but \n.
value() {
    [ -e answer.tmp ] || return
    tr -d '\r\n' <answer.tmp | sed -n 's/.*"'"$1"'" *: *"\([^"]*\)".*/\1/p'
}
pem() { printf '%b\n' "$(value "$1")" | sed '/^$/d'; }
slug() { value type | sed 's|.*/||'; }
said() {
    printf '%s' "$status $(slug): $(value detail) [attempt $(value attempt)]" | tr -d '[:cntrl:]'
}

refused() {
    case $(slug) in
    token-pending) fail 75 "$(said); a certificate asked for with a new token goes first" ;;
    # No other day will it be taken either: the next run makes another.
    key-not-acceptable | weak-key) rm -f key.pem ;;
    esac
    say "refused: $(said)"
    say "your operator is told why, and what to do, by: cvm explain $(value attempt)"
    say "where that is a new token (cvm device new-token $serial):" \
        "put it into $token_file, remove device.pem"
    exit 1
}

# --- requests ---

nothing() { :; }
csr() { openssl req -new -key key.pem -subj / | awk '{ printf "%s\\n", $0 }'; }
renewal() { printf '{"csr": "%s"}' "$(csr)"; }
vending() {
    token=$(head -n 1 "$token_file" | sed 's/[\\"]/\\&/g')
    printf '{"serialNumber": "%s", "token": "%s", "csr": "%s"}' "$serial" "$token" "$(csr)"
}

# Asks for a certificate: with the one that works, else with the token.
ask() {
    if [ -e device.pem ]; then
        say "asking for the next certificate"
        post /v1/certificates/renew renewal --cert device.pem && return
        [ "$(slug)" = certificate-expired ] || refused
    fi
    [ -r "$token_file" ] || fail 77 "cannot read the token in $token_file"
    say "asking for a certificate with the token"
    post /v1/certificates vending || refused
}

# Keeps what was answered in one file: when to renew, key, certificate, chain.
take() {
    pem certificate >leaf.tmp
    [ "$(openssl x509 -in leaf.tmp -noout -pubkey)" = "$(openssl pkey -in key.pem -pubout)" ] ||
        fail 1 "the answer is not kept, the certificate is not for our key: $(said)"
    pem chain >chain.tmp
    openssl verify -no-CApath -no-CAstore -CAfile root-ca.pem -untrusted chain.tmp leaf.tmp \
        >/dev/null ||
        fail 1 "the answer is not kept, the certificate is not under the pinned root: $(said)"
    printf 'renew-after: %s\n' "$(value renewAfter)" |
        cat - key.pem leaf.tmp chain.tmp >next.pem.tmp ||
        fail 77 "cannot write next.pem in $directory"
    keep next.pem
}

# Proves that the next certificate works; then it is the one that is used, by one rename.
prove() {
    post /v1/certificates/confirm nothing --cert next.pem || return
    # First: a key that stayed behind would be asked for again at the next renewal.
    rm -f key.pem && flush . && mv next.pem device.pem && flush . ||
        fail 77 "cannot write device.pem in $directory"
    say "in use: $directory/device.pem, to be renewed after $(renew_after)"
}

digits() { tr -cd 0-9; }
renew_after() { sed -n 's/^renew-after: //p' device.pem; }
is_due() { ! [ "$(date -u +%Y%m%d%H%M%S)" -lt "$(renew_after | digits)" ]; } # damaged is due

# --- the run ---

[ $# = 5 ] || fail 2 'usage: device.sh SERVER SERIAL FINGERPRINT TOKEN-FILE DIRECTORY'
server=${1%/} serial=$2 directory=$5
fingerprint=$(printf %s "$3" | tr -d : | tr A-F a-f)
case $4 in /*) token_file=$4 ;; *) token_file=$PWD/$4 ;; esac
tries=${CVM_TRIES:-6} pause=1
case $server in https://?*) ;; *) fail 2 "SERVER is https://host:port" ;; esac
case $serial in
'' | *[!A-Za-z0-9:._/+-]*) fail 2 "SERIAL is 1 to 64 of A-Z a-z 0-9 : . _ / + -" ;;
esac
case $fingerprint in *[!0-9a-f]*) fail 2 "FINGERPRINT is 64 hexadecimal digits" ;; esac
[ ${#fingerprint} = 64 ] || fail 2 "FINGERPRINT is 64 hexadecimal digits"

mkdir -p "$directory" && cd "$directory" && flush .. || fail 77 "cannot use $directory"
rm -f ./*.tmp # of a run that was cut off
trap 'rm -f ./*.tmp' EXIT

if [ -e device.pem ] && [ ! -e next.pem ] && ! is_due; then
    say "nothing to do until $(renew_after)"
    exit 0
fi
pin
if [ -e next.pem ]; then
    prove && exit 0
    case $(slug) in
    # Displaced meanwhile: its key may ask again.
    certificate-superseded | certificate-expired | certificate-unknown) rm -f next.pem ;;
    certificate-revoked) rm -f next.pem key.pem ;;
    *) refused ;;
    esac
fi
# A key is on the disk before anything is asked for it: the same key is answered the same
# certificate.
if [ ! -e key.pem ]; then
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem.tmp && keep key.pem
fi
[ -e key.pem ] || fail 77 "cannot make a key in $directory"
ask
take
prove || refused

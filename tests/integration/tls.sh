#!/bin/sh
# What HTTPS accepts and refuses, against nginx with good and bad certificates on loopback.
# Usage: tls.sh PROBE (the https_probe program)
set -eu

probe=$1
dir=$(mktemp -d)
pid=
n_failed=0

finish() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    [ -z "$pid" ] || wait "$pid" 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM
unset AWS_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

for tool in nginx openssl curl; do
    PATH=$PATH:/usr/sbin command -v "$tool" >"$dir/where" ||
        { echo "tls.sh: $tool is missing (scripts/test installs it)" >&2; exit 1; }
done
PATH=$PATH:/usr/sbin

cd "$dir"
# name, subject alternative name, days of validity (through -startdate and -enddate of `openssl ca`)
cat >ca.cnf <<END
[ca]
default_ca = here
[here]
database = $dir/index.txt
new_certs_dir = $dir
serial = $dir/serial
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
END
: >index.txt
echo 01 >serial

openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 \
    -subj "/CN=ssmd test authority" 2>>log
certificate() { # name, alternative name, start, end
    openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" \
        -addext "subjectAltName=$2" 2>>log
    openssl ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -in "$1.csr" -out "$1.pem" \
        -startdate "$3" -enddate "$4" -notext 2>>log
}
certificate good DNS:localhost,IP:127.0.0.1 20200101000000Z 20491231000000Z
certificate expired DNS:localhost 20200101000000Z 20210101000000Z
certificate future DNS:localhost 20480101000000Z 20491231000000Z
certificate wrong_name DNS:ssm.example.org 20200101000000Z 20491231000000Z
openssl req -x509 -newkey rsa:2048 -nodes -keyout self_signed.key -out self_signed.pem -days 3650 \
    -subj "/CN=localhost" -addext "subjectAltName=DNS:localhost" 2>>log

# A port that is free now; the loop below tries others when it was taken meanwhile.
free_ports() {
    /usr/bin/python3 -c '
import socket
sockets = [socket.socket() for _ in range(7)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in sockets])'
}

write_config() { # seven ports
    {
        echo "daemon off; master_process off; pid $dir/nginx.pid; error_log $dir/error.log;"
        echo "events {} http { access_log off; client_body_temp_path $dir/b; proxy_temp_path $dir/p;"
        echo "fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;"
        for name in good expired future wrong_name self_signed; do
            echo "server { listen 127.0.0.1:$1 ssl; ssl_certificate $name.pem;"
            echo "ssl_certificate_key $name.key; ssl_protocols TLSv1.2 TLSv1.3;"
            echo "location / { return 200 hello; } location /r { return 302 http://127.0.0.1/; } }"
            shift
        done
        echo "server { listen 127.0.0.1:$1 ssl; ssl_certificate good.pem;"
        echo "ssl_certificate_key good.key; ssl_protocols TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;"
        echo "location / { return 200 old; } }"
        echo "server { listen 127.0.0.1:$2; location / { return 200 plain; } } }"
    } >nginx.conf
}

is_up() { # until the last of its ports answers
    give_up=$(($(date +%s) + 60))
    while [ "$(date +%s)" -lt "$give_up" ]; do
        kill -0 "$pid" 2>/dev/null || return 1
        [ "$("$probe" "http://127.0.0.1:$1/")" = "200 plain" ] && return 0
    done
    return 1
}

for _ in 1 2 3 4 5; do
    ports=$(free_ports)
    # shellcheck disable=SC2086 # seven words
    write_config $ports
    nginx -p "$dir" -c nginx.conf 2>>log &
    pid=$!
    is_up "${ports##* }" && break
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    pid=
done
[ -n "$pid" ] || { echo "tls.sh: nginx does not start:" >&2; cat log error.log >&2; exit 1; }

# shellcheck disable=SC2086
set -- $ports

expect() { # what, part of the answer, command...
    what=$1 part=$2
    shift 2
    answer=$("$@" || true)
    case $answer in
    *"$part"*) echo "ok - $what" ;;
    *)
        echo "not ok - $what: expected \"$part\", got \"$answer\""
        n_failed=$((n_failed + 1))
        ;;
    esac
}

ca=$dir/ca.pem
expect "a certificate of a trusted authority is accepted" "200 hello" \
    "$probe" "https://localhost:$1/" "$ca"
expect "an address in the certificate is accepted" "200 hello" "$probe" "https://127.0.0.1:$1/" "$ca"
expect "AWS_CA_BUNDLE names the authorities" "200 hello" \
    env AWS_CA_BUNDLE="$ca" "$probe" "https://localhost:$1/"
expect "SSL_CERT_FILE names the authorities" "200 hello" \
    env SSL_CERT_FILE="$ca" "$probe" "https://localhost:$1/"
mkdir hashed
cp ca.pem hashed/
openssl rehash hashed
expect "a hashed directory names the authorities" "200 hello" \
    env SSL_CERT_DIR="$dir/hashed" "$probe" "https://localhost:$1/"
expect "an authority that the system does not know is refused" "network: GET https://localhost:$1" \
    "$probe" "https://localhost:$1/"
expect "the refusal tells where the authorities were looked for" "AWS_CA_BUNDLE" \
    "$probe" "https://localhost:$1/"
expect "a missing bundle is named" "$dir/none.pem" "$probe" "https://localhost:$1/" "$dir/none.pem"
expect "an expired certificate is refused" "expired" "$probe" "https://localhost:$2/" "$ca"
expect "a certificate of the future is refused" "not yet valid" \
    "$probe" "https://localhost:$3/" "$ca"
expect "another host's certificate is refused" "localhost" "$probe" "https://localhost:$4/" "$ca"
expect "... as a network error" "network: " "$probe" "https://localhost:$4/" "$ca"
expect "a self-signed certificate is refused" "self" "$probe" "https://localhost:$5/" "$ca"
expect "(the old server does speak TLS 1.1 with who asks for it)" "TLSv1.1" \
    sh -c "openssl s_client -connect 127.0.0.1:$6 -tls1_1 -cipher ALL:@SECLEVEL=0 </dev/null 2>&1"
# OpenSSL's own level refuses it before we do; where an administrator lowered that, it is us.
cat >lowered.cnf <<END
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = lowered
[lowered]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
END
expect "(and with what a lowered OpenSSL lets pass)" "old" \
    env OPENSSL_CONF="$dir/lowered.cnf" curl -s --noproxy "*" --cacert "$ca" "https://localhost:$6/"
for settings in /dev/null lowered.cnf; do
    expect "TLS below 1.2 is refused ($settings)" "network: " \
        env OPENSSL_CONF="$settings" "$probe" "https://localhost:$6/" "$ca"
done
expect "plain HTTP on a TLS port is no answer of the service" "400" \
    "$probe" "http://127.0.0.1:$1/" "$ca"
expect "TLS on a plain port is refused" "network: " "$probe" "https://127.0.0.1:$7/" "$ca"
expect "a redirect is an answer, not an order" "302" "$probe" "https://localhost:$1/r" "$ca"

exit $((n_failed > 0))

#!/bin/sh
# Makes the certificates of the tests anew, valid for a hundred years (and one that has expired).
set -eu
cd "$(dirname "$0")"
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
key ca
openssl req -x509 -new -key ca.key -subj "/CN=loadgen tests" -days 36500 -out ca.pem \
    -addext "keyUsage=critical,keyCertSign,cRLSign"
sign() { # name, subjectAltName, further arguments
    key "$1"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    printf 'subjectAltName=%s\n' "$2" > "$1.ext"
    name=$1; shift 2
    openssl ca -batch -config ca.cnf -in "$name.csr" -extfile "$name.ext" -out "$name.crt" -notext "$@"
    cat "$name.key" "$name.crt" > "$name.pem"
    rm "$name.key" "$name.csr" "$name.ext" "$name.crt"
}
cat > ca.cnf <<'END'
[ca]
default_ca = tests
[tests]
private_key = ca.key
certificate = ca.pem
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
default_days = 36500
policy = any
unique_subject = no
[any]
commonName = supplied
END
: > index.txt
sign server "IP:127.0.0.1,DNS:localhost"
sign other "DNS:other.example"
sign expired "IP:127.0.0.1" -startdate 20000101000000Z -enddate 20010101000000Z
sign client "DNS:client.example"
rm -f ca.key ca.cnf index.txt* [0-9A-F]*.pem

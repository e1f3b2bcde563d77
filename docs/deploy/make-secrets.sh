#!/bin/sh
# Makes the secrets that docker-compose.yml names, where they are not there yet.
#
# Containers read them as users of their own, so the files are readable; what keeps the other users of
# this machine out is the folder, which only you can enter.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
chmod 700 secrets

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

make() {
    if [ -e "secrets/$1" ]; then
        echo "kept  docs/deploy/secrets/$1"
    else
        printf '%s\n' "$2" >"secrets/$1"
        chmod 444 "secrets/$1"
        echo "wrote docs/deploy/secrets/$1"
    fi
}

make auth0_stream_token "Bearer $(random)"
make redis_url "redis://:$(random)@valkey:6379/0"

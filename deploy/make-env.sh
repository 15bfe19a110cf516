#!/bin/sh
# Writes the tokens and passwords that docker-compose.yml and deploy/nats/posthorn.conf ask for, made at random, into a file
# that only its owner reads:   sh deploy/make-env.sh [.env]
set -eu
umask 077
file=${1:-.env}
if [ -e "$file" ]; then
  echo "$file is there already: its passwords may be in use" >&2
  exit 1
fi
# A letter first: nats-server could take it for a number.
random() { printf 'p'; hex; }
hex() { od -An -v -N"${1:-24}" -tx1 /dev/urandom | tr -d ' \n'; }
read_token=$(random)
cat > "$file" <<END
POSTHORN_API_TOKENS=admin:$(random),read:$read_token
POSTHORN_METRICS_TOKEN=$read_token
POSTHORN_ENCRYPTION_KEY=$(hex 32)
POSTHORN_NATS_PASSWORD=$(random)
OPERATOR_NATS_PASSWORD=$(random)
PUBLISHER_NATS_PASSWORD=$(random)
MAILER_NATS_PASSWORD=$(random)
REDIS_PASSWORD=$(random)
GRAFANA_ADMIN_PASSWORD=$(random)
END

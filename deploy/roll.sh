#!/usr/bin/env bash
# Replaces every container of the api by a new one, one after the other, while the others serve: for a new image, a new
# configuration. There is always one more than before, never one less. npm run roll
set -euo pipefail
[ $# = 0 ] || { sed -n '2,3s/^# //p' "$0"; exit 2; }
cd "$(dirname "$0")/.."

# nginx asks Docker's DNS every second who there is. In seconds.
until_nginx_has_seen=2

all() { docker compose ps --all --quiet api; }
state() { docker inspect --format '{{.State.Status}} {{.State.Health.Status}}' "$1"; }

old=$(docker compose ps --quiet api)
[ -n "$old" ] || { echo 'no replica is running; docker compose up -d starts them (those of npm start: kill -USR2, with its pid)' >&2; exit 1; }
# Where one has been killed, Compose would start that one again, and not make a new one.
dead=$(docker compose ps --all --quiet --status exited --status dead api)
[ -z "$dead" ] || docker rm $dead >/dev/null
count=$(grep -c . <<<"$old")
# What a new build needs of the schema, which the old one must be able to live with.
docker compose --progress quiet run --rm --no-deps migrate >/dev/null

for container in $old; do
  before=$(all)
  docker compose --progress quiet up --detach --no-deps --no-recreate --scale api=$((count + 1)) api
  new=$(all | grep -vxF "$before") || { echo 'Compose has made no new replica' >&2; exit 1; }
  # Not with --wait, which waits for the old ones too: one of them may be why all are replaced.
  while [ "$(state "$new")" = 'running starting' ]; do sleep 0.5; done
  if [ "$(state "$new")" != 'running healthy' ]; then
    docker logs --tail 20 "$new" >&2
    docker rm --force "$new" >/dev/null
    echo 'the new replica is not healthy; the rest is left as it is' >&2
    exit 1
  fi
  sleep $until_nginx_has_seen
  # It drains first, and ends by itself (SHUTDOWN_DRAIN_MS, SHUTDOWN_GRACE_MS).
  docker stop "$container" >/dev/null
  docker rm "$container" >/dev/null
  echo "replaced ${container:0:12}"
done
echo "all $count replicas have been replaced"

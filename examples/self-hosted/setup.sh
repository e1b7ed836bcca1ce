#!/bin/sh
# setup.sh - as root, on a host of self-hosted runners: p2pcache in /opt, and its hub as a service of systemd.
# Run again, it upgrades both to what this checkout has; what is so already is left alone.
set -eu
checkout=$(cd "$(dirname "$0")/../.." && pwd)
units=/etc/systemd/system

[ "$(id -u)" = 0 ] || { echo "setup.sh: needs root, to install the service" >&2; exit 1; }
installed() { readlink /opt/p2pcache/current || true; }

before=$(installed)
"$checkout/install.sh" --prefix /opt/p2pcache --bin /usr/local/bin
changed=false
[ "$before" = "$(installed)" ] || changed=true
for unit in p2pcache-hub.service p2pcache-hub.socket; do
  cmp -s "$checkout/deploy/systemd/$unit" "$units/$unit" && continue
  install -m 644 "$checkout/deploy/systemd/$unit" "$units/$unit"
  changed=true
done
if [ $changed = false ]; then
  echo "setup.sh: the hub is up to date"
  exit
fi
systemctl daemon-reload
systemctl enable --now p2pcache-hub.socket
systemctl enable p2pcache-hub.service
systemctl restart p2pcache-hub.service # returns when members can join
echo "setup.sh: the hub runs. Its jobs need its secret: gh secret set CACHE_SECRET </var/lib/p2pcache/secret"

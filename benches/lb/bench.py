#!/usr/bin/env python3
"""Proxies in turn, on one CPU with one worker; generator and origin on the other.

The main figure is the proxy's CPU microseconds a request: user and system time of its processes over completed
requests. It does not depend on the generator. See README.md; the environment is told in lab.py.
"""
import argparse
import json
import signal
import socket
import ssl
import statistics
import sys
import time

import lab

# name: (what is served, generator, how)
WORKLOADS = {
    "H1": ("h1", "wrk", dict(c=64, path="/s")),
    "H1r": ("h1", "gen", dict(rate=5000, c=64, path="/s")),
    "H2": ("h1", "wrk", dict(c=64, path="/l")),
    "H3": ("h1", "wrk", dict(c=64, path="/s", close=True)),
    "H4": ("tls", "wrk", dict(c=64, path="/s", tls=True)),
    "H4l": ("tls", "wrk", dict(c=64, path="/l", tls=True)),
    "H4hs": ("tls", "tlsrate", dict(c=16, path="/s")),
    "H4rs": ("tls", "tlsrate", dict(c=16, path="/s", resume=True)),
    "H5c": ("h2c", "h2load", dict(c=16, m=8, path="/s")),
    "H5t": ("tls", "h2load", dict(c=16, m=8, path="/s", tls=True)),
    "H5cl": ("h2c", "h2load", dict(c=16, m=8, path="/l")),
    "H6": ("h2h2", "h2load", dict(c=16, m=8, path="/bench.Svc/Call", grpc=True)),
    "L1": ("tcp", "connrate", dict(c=32, path="/s")),
    "L2": ("tcp", "bulk", dict(c=8, path="/x")),
    "L3": ("tcp", "wrk", dict(c=64, path="/s")),
}
IDLE_COUNTS = [1000, 5000]


def sample(name, peer, workload, opt):
    """One turn of one peer."""
    key, tool, how = WORKLOADS[workload]
    port = lab.port_of(peer, key)
    process = lab.start(name, peer, port)
    try:
        if opt.warm:
            lab.load(tool, port, how, opt.warm)
        time.sleep(0.05)
        (busy0, stolen0), (user0, system0), switched0 = lab.proxy_cpu_s(), lab.cpu_s(process.pid), lab.switches(process.pid)
        began = time.time()
        row = lab.load(tool, port, how, opt.secs)
        elapsed = time.time() - began
        (busy, stolen), (user, system), switched = lab.proxy_cpu_s(), lab.cpu_s(process.pid), lab.switches(process.pid)
        user, system, n, gib = user - user0, system - system0, max(row["n"], 1), row["bytes"] / 2**30
        row.update(peer=name, w=workload, us=(user + system) / n * 1e6, usr=user / n * 1e6, sys=system / n * 1e6,
                   util=(user + system) / elapsed, csw=(switched - switched0) / n, gib=gib,
                   foreign=max(0, busy - busy0 - user - system) / elapsed, steal=(stolen - stolen0) / elapsed,
                   cpu_per_gib=(user + system) / gib if gib else None, rss=lab.memory_kib(process.pid)[0])
        return row
    finally:
        lab.stop(process)


def idle_memory(name, peer, key):
    """Resident KiB with no connection, and with so many that have asked once and stay."""
    port = lab.port_of(peer, key)
    process, connections, found = lab.start(name, peer, port), [], {}
    trusting = ssl._create_unverified_context()
    request = ("GET /s HTTP/1.1\r\n" + "\r\n".join(lab.HEADERS) + "\r\n\r\n").encode()
    try:
        time.sleep(0.3)
        found[0] = lab.memory_kib(process.pid)[0]
        for count in IDLE_COUNTS:
            while len(connections) < count:
                c = socket.create_connection(("127.0.0.1", port), 5)
                c = trusting.wrap_socket(c) if key == "tls" else c
                c.sendall(request)
                answer = b""
                while b"\r\n\r\n" not in answer or len(answer) < answer.index(b"\r\n\r\n") + 4 + 128:
                    more = c.recv(4096)
                    if not more:
                        raise RuntimeError("closed")
                    answer += more
                connections.append(c)
            time.sleep(1)
            found[count] = lab.memory_kib(process.pid)[0]
        return found
    finally:
        for c in connections:
            c.close()
        lab.stop(process)


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def report(rows, base):
    """A table for each workload, the cheapest first."""
    for workload in [w for w in WORKLOADS if any(row["w"] == w for row in rows)]:
        of_it = [row for row in rows if row["w"] == workload]
        bulk = workload == "L2"
        print("\n### %s\n" % workload)
        print("| peer | CPU us/req (min..max) | usr | sys | vs %s | req/s | p50 us | p99 us | CPU used | switches/req | errors | turns |%s"
              % (base, " CPU s/GiB | GiB/s |" if bulk else ""))
        print("|---|---|---|---|---|---|---|---|---|---|---|---|" + ("---|---|" if bulk else ""))
        base_us = {row["round"]: row["us"] for row in of_it if row["peer"] == base}
        names = dict.fromkeys(row["peer"] for row in of_it)
        for name in sorted(names, key=lambda n: median([row for row in of_it if row["peer"] == n], "us")):
            own = [row for row in of_it if row["peer"] == name]
            ratios = [row["us"] / base_us[row["round"]] for row in own if base_us.get(row["round"])]
            us = [row["us"] for row in own]
            line = "| %s | %.2f (%.2f..%.2f) | %.2f | %.2f | %s | %.0f | %.0f | %.0f | %.2f | %.2f | %d | %d |" % (
                name, statistics.median(us), min(us), max(us), median(own, "usr"), median(own, "sys"),
                "%.2f" % statistics.median(ratios) if ratios else "-", median(own, "rps"), median(own, "p50"), median(own, "p99"),
                median(own, "util"), median(own, "csw"), sum(row["err"] for row in own), len(own))
            if bulk:
                line += " %.3f | %.2f |" % (median(own, "cpu_per_gib"), median(own, "rps") * 4 / 1024)
            print(line)


def turn(name, peer, workload, opt):
    """A sample without others on the proxy's CPU, or the last of three; none when it does not run."""
    row = None
    for _ in range(3):
        try:
            row = sample(name, peer, workload, opt)
        except Exception as e:
            print("%s %s: failed: %r" % (workload, name, e), file=sys.stderr, flush=True)
            continue
        if row["foreign"] <= opt.max_foreign:
            break
    return row


def cmd_bench(opt, peers, names):
    rows, dead = [], set()
    out = open(opt.file, "a") if opt.file else None
    for workload in opt.workloads:
        able = [n for n in names if lab.port_of(peers[n], WORKLOADS[workload][0]) is not None]
        for r in range(opt.rounds):
            k = r % max(1, len(able))   # another order in every round
            with lab.Lock():
                for name in able[k:] + able[:k]:
                    row = None if (name, workload) in dead else turn(name, peers[name], workload, opt)
                    if row is None:
                        dead.add((name, workload))
                        continue
                    row["round"] = r
                    rows.append(row)
                    if out:
                        out.write(json.dumps(row) + "\n")
                        out.flush()
                    print("%s r%d %s: %.2f us/req %.0f/s, used %.2f, others %.3f, stolen %.3f, errors %d" % (
                        workload, r, name, row["us"], row["rps"], row["util"], row["foreign"], row["steal"], row["err"]),
                        file=sys.stderr, flush=True)
    report(rows, opt.base)


def cmd_idle(opt, peers, names):
    print("| served | peer | MiB idle | %s | KiB a connection |\n|---|---|%s" % (
        " | ".join("MiB with %d" % n for n in IDLE_COUNTS), "---|" * (2 + len(IDLE_COUNTS))))
    few, many = IDLE_COUNTS
    for key in opt.mem.split(","):
        for name in [n for n in names if lab.port_of(peers[n], key) is not None]:
            try:
                with lab.Lock():
                    found = idle_memory(name, peers[name], key)
            except Exception as e:
                print("| %s | %s | failed: %s |" % (key, name, e), flush=True)
                continue
            print("| %s | %s | %s | %.1f |" % (key, name, " | ".join("%.1f" % (v / 1024) for v in found.values()),
                                             (found[many] - found[few]) / (many - few)), flush=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))   # so that what was started is stopped
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("peers", nargs="*", help="default: all in peers.toml")
    ap.add_argument("-w", "--workloads", type=lambda s: s.split(","), default=list(WORKLOADS))
    ap.add_argument("-r", "--rounds", type=int, default=5)
    ap.add_argument("-d", "--secs", type=int, default=3, help="length of a turn")
    ap.add_argument("--warm", type=int, default=1, help="seconds of load before it")
    ap.add_argument("--base", default="haproxy", help="peer that ratios refer to, round by round")
    ap.add_argument("--mem", help="memory of idle connections instead: e.g. h1,tls,tcp")
    ap.add_argument("--file", help="append raw samples here, one JSON object a line")
    ap.add_argument("--report", type=lambda s: s.split(","), help="only print the tables of these files")
    ap.add_argument("--max-foreign", type=float, default=0.06,
                    help="repeat a turn, at most twice, in which others used more than this share of the proxy's CPU")
    opt = ap.parse_args()
    if opt.report:
        return report([json.loads(line) for file in opt.report for line in open(file)], opt.base)
    peers = lab.peers()
    names = opt.peers or list(peers)
    unknown = [n for n in names if n not in peers] + [w for w in opt.workloads if w not in WORKLOADS]
    if unknown:
        sys.exit("unknown: %s; there are the peers %s and the workloads %s" % (unknown, " ".join(peers), " ".join(WORKLOADS)))
    lab.prepare()
    started = []
    try:
        started = lab.origins(with_h2=not opt.mem and "H6" in opt.workloads)
        (cmd_idle if opt.mem else cmd_bench)(opt, peers, names)
    finally:
        for process in started:
            lab.stop(process)


if __name__ == "__main__":
    main()

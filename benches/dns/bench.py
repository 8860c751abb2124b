#!/usr/bin/env python3
"""Starts each peer in turn (one server on one CPU, the generator on another),
in interleaved rounds, and prints a table.  Called by run.sh.

A new server is one more peer: put an executable into peers/ (see
peers/README), or give it on the command line:

  run.sh --add 'mine:w1,w2,w3:exec /opt/mine --zone $DATA/bench100k.zone --listen $ADDR:$PORT' mine gdnsd knot

(The text after the second colon runs under bash with W, ADDR, PORT, WORK,
DATA, GEO_DIR and BENCH_DIR set; it must stay in the foreground.)
"""
import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

BENCH = os.environ["BENCH_DIR"]
DATA = os.environ["DATA"]
GEO = os.environ["GEO_DIR"]
BLAST = os.environ["DNSBLAST_DIR"] + "/target/release/dnsblast"
FLOORS = ("echo-batch", "echo-plain")
DEFAULT = ["gdnsd", "knot", "nsd", "bind", "pdns", "hickory", "rhumb", "echo-batch", "echo-plain"]
PACKETS = {"w3p": "w3p", "w1": "w1", "w1c": "w1", "w2": "w2", "w3": "w3", "w3m": "w3", "w4": "w4", "w5": "w5"}


def busy(seconds=0.2):
    """Share of both CPUs' time that somebody uses."""
    def read():
        v = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
        return sum(v) - v[3] - v[4], sum(v)
    a = read()
    time.sleep(seconds)
    b = read()
    return (b[0] - a[0]) / max(1, b[1] - a[1])


@contextlib.contextmanager
def lock(quiet=True, patience=900):
    """CPU_LOCK names a lock file, when the machine is shared.  Also waits
    until nobody else is using the CPUs."""
    path = os.environ.get("CPU_LOCK")
    end = time.time() + patience
    with (open(path, "a") if path else contextlib.nullcontext()) as f:
        while True:
            if f:
                fcntl.flock(f, fcntl.LOCK_EX)
            if not quiet or busy() < 0.05 or time.time() > end:
                break
            if f:
                fcntl.flock(f, fcntl.LOCK_UN)
            time.sleep(1)
        yield


def packets(w):
    return "%s/%s.pkt" % (DATA, PACKETS[w])


def probe_packet(w):
    if w == "w3m":
        return open(DATA + "/last1m.pkt", "rb").read()[2:]
    raw = open(packets(w), "rb").read(100000)
    i = 0
    while i + 2 < len(raw):
        n = struct.unpack(">H", raw[i:i + 2])[0]
        p = raw[i + 2:i + 2 + n]
        if p[13:14] != b"x":  # not one of the names that do not exist
            return p
        i += 2 + n
    raise SystemExit("no probe")


def session_pids(sid):
    out = []
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                s = open("/proc/%s/stat" % d).read()
            except OSError:
                continue
            if int(s[s.rindex(")") + 2:].split()[3]) == sid:
                out.append(int(d))
    return out


def free_port(addr, port):
    """The next port nobody has: two servers with SO_REUSEPORT on one port would share the queries."""
    while True:
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, kind) as s:
                    s.bind((addr, port))
            return port
        except OSError:
            port += 1


class Server:
    def __init__(self, opt, peer, w, port):
        self.w = w
        self.port = port = free_port(opt.addr, port)
        self.addr = opt.addr
        self.work = tempfile.mkdtemp(prefix="dnsbench-", dir=opt.tmp)
        os.chmod(self.work, 0o755)
        env = dict(os.environ, ADDR=opt.addr, PORT=str(port), WORK=self.work, W=w)
        cmd = ["bash", "-c", opt.added[peer][1]] if peer in opt.added else [BENCH + "/peers/" + peer, "start", w]
        self.log = open(self.work + "/stderr", "wb")
        self.t0 = time.time()
        self.p = subprocess.Popen(cmd, env=env, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, cwd=self.work,
                                  start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, {opt.server_cpu}))
        self.sid = self.p.pid

    def ready(self, limit):
        """Seconds until the first right answer, or None."""
        pkt = probe_packet(self.w)
        fam = socket.AF_INET6 if ":" in self.addr else socket.AF_INET
        end = self.t0 + limit
        while time.time() < end:
            if self.p.poll() is not None:
                return None
            s = socket.socket(fam, socket.SOCK_DGRAM)
            try:
                s.settimeout(0.2)
                s.connect((self.addr, self.port))
                s.send(pkt)
                m = s.recv(4096)
                if m[3] & 15 == 0 and m[6:8] != b"\0\0":
                    return time.time() - self.t0
                time.sleep(0.02)
            except OSError:
                time.sleep(0.02)
            finally:
                s.close()
        return None

    def memory(self):
        """(RSS sum, PSS sum) in MiB over the processes of the session."""
        rss = pss = 0
        for pid in session_pids(self.sid):
            try:
                for l in open("/proc/%d/smaps_rollup" % pid):
                    if l.startswith("Rss:"):
                        rss += int(l.split()[1])
                    elif l.startswith("Pss:"):
                        pss += int(l.split()[1])
            except OSError:
                pass
        return rss / 1024, pss / 1024

    def cpu(self):
        t = 0
        for pid in session_pids(self.sid):
            try:
                f = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
                t += int(f[11]) + int(f[12])
            except OSError:
                pass
        return t / os.sysconf("SC_CLK_TCK")

    def stop(self):
        for sig, wait in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 2.0)):
            pids = session_pids(self.sid)
            if not pids:
                break
            for pid in pids:
                try:
                    os.kill(pid, sig)
                except OSError:
                    pass
            end = time.time() + wait
            while time.time() < end and session_pids(self.sid):
                self.p.poll()
                time.sleep(0.02)
        self.p.wait()
        self.log.close()

    def drop(self):
        shutil.rmtree(self.work, ignore_errors=True)

    def tail(self):
        return open(self.work + "/stderr", "rb").read()[-1500:].decode("utf-8", "replace")


def blast(opt, srv, seconds, extra=()):
    cmd = [BLAST, "--target", "%s:%d" % (srv.addr, srv.port), "--packets", packets(srv.w), "--seconds", str(seconds),
           "--poll-us", str(2 if "--rate" in extra else opt.poll), "--window", str(opt.window), "--sockets", str(opt.sockets), "--gso", str(1 if "--rate" in extra else opt.gso),
           "--session", str(srv.sid), "--cpu", str(opt.server_cpu), "--json", *extra]
    r = subprocess.run(cmd, stdout=subprocess.PIPE, preexec_fn=lambda: os.sched_setaffinity(0, {opt.client_cpu}))
    return json.loads(r.stdout)


def workloads_of(opt, peer):
    if peer in opt.added:
        return opt.added[peer][0]
    return subprocess.check_output([BENCH + "/peers/" + peer, "workloads"], text=True).split()


def sane(w, m):
    """Do the answers have the right shape?"""
    n = max(m["answered"], 1)
    if w in ("w3", "w4"):
        return m["noerror"] / n > 0.85 and m["nxdomain"] / n < 0.15 and m["servfail"] + m["refused_rcode"] + m["other_rcode"] == 0
    return m["with_answer"] / n > 0.999


def start(opt, peer, w, port):
    s = Server(opt, peer, w, port)
    t = s.ready(opt.ready)
    if t is None:
        print("  %s %s did not start:\n%s" % (peer, w, s.tail()), file=sys.stderr)
        s.stop()
        s.drop()
        return None
    s.ready_s = t
    return s


def disturbed(m):
    """Did somebody else use one of the two CPUs?"""
    return m["cpu_busy"] - m["server_cpu"] > 0.05 or m["generator_cpu"] < 0.95 or m["steal_s"] > 0.05 * m["seconds"]


def saturate(opt, s, peer, w, rnd):
    m = blast(opt, s, opt.seconds, ["--warmup", str(opt.warmup)])
    row = dict(kind="max", peer=peer, w=w, round=rnd, m=m, sane=sane(w, m), shared=disturbed(m))
    note = "" if row["sane"] else "  WRONG ANSWERS"
    if m["server_cpu"] < 0.95:
        note += "  (server at %.0f %%)" % (100 * m["server_cpu"])
    if row["shared"]:
        note += "  (CPU shared: busy %.0f %%, generator had %.0f %%)" % (100 * m["cpu_busy"], 100 * m["generator_cpu"])
    print("  %-4s %-13s r%-2d %8.0f qps  %6.3f us cpu/q  lost %d%s" % (w, peer, rnd, m["qps"], m["cpu_us_per_query"], m["lost"], note), file=sys.stderr)
    return row


def med(rows, f):
    return statistics.median(f(r) for r in rows)


def clean(rs):
    """Without the runs in which somebody else used the server's CPU, if enough are left."""
    good = [r for r in rs if not r["shared"]]
    return good if len(good) >= max(1, len(rs) // 3) else rs


def table(rows, opt):
    out = []
    for w in opt.workloads:
        got, lats = {}, {}
        for r in rows:
            if r["w"] == w:
                (got if r["kind"] == "max" else lats).setdefault(r["peer"], []).append(r)
        if not got:
            continue
        got = {p: clean(rs) for p, rs in got.items()}
        real = [p for p in got if not p.startswith(("echo", "proto"))]
        cpu = {p: med(rs, lambda r: r["m"]["cpu_us_per_query"]) for p, rs in got.items()}
        best = min(real or got, key=lambda p: cpu[p])
        bestr = {r["round"]: r["m"]["cpu_us_per_query"] for r in got[best]}
        out.append("\n%s (best real server by CPU: %s)\n" % (w, best))
        out.append("| peer | qps | server CPU % | CPU us/query | min..max | of it user | ratio to best | ratio of minima | p50 us | p99 us | reply bytes | answers/reply | lost |")
        out.append("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
        for p in sorted(got, key=lambda p: cpu[p]):
            rs = got[p]
            ratios = [r["m"]["cpu_us_per_query"] / bestr[r["round"]] for r in rs if bestr.get(r["round"])]
            c = [r["m"]["cpu_us_per_query"] for r in rs]
            user = sum(r["m"]["user_s"] for r in rs) / max(1e-9, sum(r["m"]["cpu_s"] for r in rs)) * cpu[p]
            l = [r for r in lats.get(p, []) if not r.get("shared")] or lats.get(p)
            out.append("| %s%s | %.0f | %.0f | %.2f | %.2f..%.2f | %.2f | %s | %.2f | %s | %s | %.0f | %.2f | %d |" % (
                p, "" if all(r["sane"] for r in rs) else " (WRONG ANSWERS)",
                med(rs, lambda r: r["m"]["qps"]), 100 * med(rs, lambda r: r["m"]["server_cpu"]), cpu[p], min(c), max(c), user,
                "%.2f" % statistics.median(ratios) if ratios else "-", min(c) / max(1e-9, min(bestr.values())),
                "%.0f" % med(l, lambda r: r["m"]["p50_us"]) if l else "-", "%.0f..%.0f" % (min(r["m"]["p99_us"] for r in l), max(r["m"]["p99_us"] for r in l)) if l else "-",
                med(rs, lambda r: r["m"]["bytes_per_reply"]), med(rs, lambda r: r["m"]["answers_per_reply"]),
                sum(r["m"]["lost"] for r in rs)))
    return "\n".join(out)


def cmd_bench(opt):
    rows = []

    def keep(row):
        rows.append(row)
        opt.out.write(json.dumps(row) + "\n")
        opt.out.flush()

    for w in opt.workloads:
        peers = [p for p in opt.peers if w in workloads_of(opt, p)]
        servers = {}
        try:
            if not opt.alone:  # all of them are up; the idle ones cost nothing
                with lock():
                    for i, p in enumerate(peers):
                        s = start(opt, p, w, opt.port + i)
                        if s:
                            servers[p] = s
                    for p, s in servers.items():
                        if opt.verify:
                            v = blast(opt, s, 0.4, ["--verify", "--warmup", "0"])
                            if v["bad"]:
                                print("  %s %s: %d malformed answers of %d" % (p, w, v["bad"], v["answered"]), file=sys.stderr)
            for first in range(1, opt.rounds + 1, opt.hold):
                with lock():
                    for rnd in range(first, min(first + opt.hold, opt.rounds + 1)):
                        k = rnd % max(1, len(peers))  # another order in every round
                        for p in peers[k:] + peers[:k]:
                            s = start(opt, p, w, opt.port) if opt.alone else servers.get(p)
                            if s:
                                for _ in range(1 + opt.retries):
                                    r = saturate(opt, s, p, w, rnd)
                                    if not r["shared"]:
                                        break
                                keep(r)
                                if opt.alone:
                                    s.stop()
                                    s.drop()
            if opt.latency > 0:
                with lock():
                    for rnd in range(1, opt.latency_rounds + 1):
                        for p in peers:
                            mine = [r for r in rows if r["kind"] == "max" and r["peer"] == p and r["w"] == w]
                            s = (start(opt, p, w, opt.port) if opt.alone else servers.get(p)) if mine else None
                            if not s:
                                continue
                            rate = opt.rate or med(mine, lambda r: r["m"]["qps"]) / 2
                            for _ in range(1 + opt.retries):
                                m = blast(opt, s, opt.latency, ["--warmup", "0.2", "--rate", str(rate)])
                                r = dict(kind="lat", peer=p, w=w, round=rnd, rate=rate, m=m, shared=disturbed(m))
                                if not r["shared"]:
                                    break
                            keep(r)
                            if opt.alone:
                                s.stop()
                                s.drop()
        finally:
            for s in servers.values():
                s.stop()
                s.drop()
        print(table([r for r in rows if r["w"] == w], opt), flush=True)


def cmd_table(opt):
    """The tables again, out of raw results."""
    rows = []
    for i, f in enumerate(opt.words):
        for x in open(f):
            r = json.loads(x)
            r["round"] += 1000 * i
            rows.append(r)
    opt.workloads = opt.workloads if opt.chosen else sorted({r["w"] for r in rows})
    for w in opt.workloads:
        print(table([r for r in rows if r["w"] == w], opt))


def cmd_load(opt):
    print("| peer | workload | time to ready s | CPU s | RSS MiB | PSS MiB |\n|---|---|---|---|---|---|")
    for w in opt.workloads:
        for p in opt.peers:
            if w not in workloads_of(opt, p) or p in FLOORS:
                continue
            got = []
            for _ in range(opt.rounds):
                with lock():
                    s = Server(opt, p, w, opt.port)
                    try:
                        t = s.ready(opt.ready)
                        if t is None:
                            print("  %s %s did not start:\n%s" % (p, w, s.tail()), file=sys.stderr)
                            continue
                        c = s.cpu()
                        time.sleep(0.5)
                        got.append((t, c) + s.memory())
                    finally:
                        s.stop()
                        s.drop()
            if got:
                print("| %s | %s | %.2f | %.2f | %.1f | %.1f |" % ((p, w) + tuple(statistics.median(x[i] for x in got) for i in range(4))), flush=True)


def cmd_check(opt):
    for w in [w for w in opt.workloads if w in ("w1", "w1c", "w2", "w5")]:
        for p in opt.peers:
            if p in FLOORS or w not in workloads_of(opt, p):
                continue
            how = opt.check_map or (subprocess.check_output([BENCH + "/peers/" + p, "check", w], text=True).strip() if p not in opt.added else "continent")
            if w == "w2":
                how = "default"
            with lock():
                s = Server(opt, p, w, opt.port)
                try:
                    if s.ready(opt.ready) is None:
                        print("%s %s did not start:\n%s" % (p, w, s.tail()))
                        continue
                    print("%-5s%-10s %-10s" % (w, p, how), end=" ", flush=True)
                    subprocess.run([sys.executable, BENCH + "/gen/check.py", opt.addr, str(opt.port), packets(w),
                                    GEO + ("/city-maxmind.mmdb" if w == "w1c" else "/country-maxmind.mmdb"), "--map", how])
                finally:
                    s.stop()
                    s.drop()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("words", nargs="*", metavar="[load|check|table] peer")
    ap.add_argument("--workloads", default=None, help="default w1,w1c,w2,w3,w3p,w4,w5 (load: w3m)")
    ap.add_argument("--rounds", type=int, default=15, help="turns of every peer (load: 3 are enough)")
    ap.add_argument("--seconds", type=float, default=1, help="length of a turn: many short turns, so that noise hits all peers alike")
    ap.add_argument("--warmup", type=float, default=0.25)
    ap.add_argument("--hold", type=int, default=4, help="rounds per hold of CPU_LOCK")
    ap.add_argument("--retries", type=int, default=2, help="repeat a turn that was disturbed by other processes")
    ap.add_argument("--alone", action="store_true", help="start a peer for each of its turns only, instead of all at once")
    ap.add_argument("--latency", type=float, default=2, help="seconds at half the maximum rate; 0: none")
    ap.add_argument("--latency-rounds", type=int, default=3)
    ap.add_argument("--rate", type=float, default=0, help="the same rate for every peer instead of half its maximum")
    ap.add_argument("--window", type=int, default=128)
    ap.add_argument("--sockets", type=int, default=4)
    ap.add_argument("--poll", type=float, default=30, help="us between looks of the generator at its sockets")
    ap.add_argument("--gso", type=int, default=16, help="queries the generator sends per GSO datagram")
    ap.add_argument("--no-verify", dest="verify", action="store_false")
    ap.add_argument("--server-cpu", type=int, default=0)
    ap.add_argument("--client-cpu", type=int, default=1)
    ap.add_argument("--addr", default="127.0.0.1")
    ap.add_argument("--port", type=int, default=5399)
    ap.add_argument("--ready", type=float, default=120, help="seconds allowed until the first answer")
    ap.add_argument("--add", action="append", default=[], metavar="NAME:W,W:COMMAND")
    ap.add_argument("--check-map", default=None, help="continent, nearest or default")
    ap.add_argument("--tmp", default=None, help="where the work directories go")
    ap.add_argument("--out", default=None, help="raw results, one JSON object a line")
    opt = ap.parse_intermixed_args()
    opt.added = {}
    for a in opt.add:
        n, ws, c = a.split(":", 2)
        opt.added[n] = (ws.split(","), c)
    mode = "bench"
    if opt.words and opt.words[0] in ("load", "check", "bench", "table"):
        mode = opt.words.pop(0)
    opt.chosen = opt.workloads is not None
    opt.peers = opt.words or DEFAULT + [n for n in opt.added if n not in DEFAULT]
    opt.workloads = (opt.workloads or {"bench": "w1,w1c,w2,w3,w3p,w4,w5", "load": "w3m", "check": "w1,w1c,w2,w5", "table": ""}[mode]).split(",")
    os.makedirs(BENCH + "/results", exist_ok=True)
    path = opt.out or BENCH + "/results/%s-%s.jsonl" % (mode, time.strftime("%Y%m%d-%H%M%S"))
    opt.out = open(path, "a") if mode == "bench" else open(os.devnull, "w")
    {"bench": cmd_bench, "load": cmd_load, "check": cmd_check, "table": cmd_table}[mode](opt)


if __name__ == "__main__":
    main()

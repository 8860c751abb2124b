#!/usr/bin/env python3
"""run.sh prof WORKLOAD PEER [perf|strace]: where a peer's time goes under a workload, or which system calls it makes.

perf samples cpu-clock (self time, by library and by symbol; TOP=25 lines); strace counts calls a request.
"""
import os
import signal
import subprocess
import sys
import time

import lab
from bench import WORKLOADS


def perf(pids, load):
    data = lab.OUT + "/perf.data"
    recorder = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-p", ",".join(pids), "-o", data,
                                 "--", "sleep", "2.5"], stderr=subprocess.DEVNULL)
    time.sleep(0.2)
    load(3)
    recorder.wait()
    for fields, lines in (("dso", 6), ("dso,symbol", int(os.environ.get("TOP", "25")))):
        said = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "-g", "none", "-F", "overhead," + fields],
                              capture_output=True, text=True).stdout
        print("\n".join([line for line in said.splitlines() if line.strip() and not line.startswith("#")][:lines]) + "\n--")


def strace(pids, load):
    out = lab.OUT + "/strace.txt"
    tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out] + [word for pid in pids for word in ("-p", pid)],
                              stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    requests = load(2)["n"]
    tracer.send_signal(signal.SIGINT)
    tracer.wait()
    print("calls a request, over %d (strace slows the peer, so batches differ)" % requests)
    for line in open(out):
        f = line.split()
        if len(f) >= 5 and f[3].isdigit() and int(f[3]) / requests > 0.01:
            failed = "  errors %.2f" % (int(f[4]) / requests) if len(f) == 6 else ""
            print("  %-16s %.2f%s" % (f[-1], int(f[3]) / requests, failed))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    workload, name, how = (sys.argv[1:] + ["perf"])[:3]
    key, tool, asked = WORKLOADS[workload]
    peer = lab.peers()[name]
    port = lab.port_of(peer, key)
    lab.prepare()
    started = []
    try:
        started = lab.origins(with_h2=workload == "H6")
        with lab.Lock():
            process = lab.start(name, peer, port)
            started.append(process)
            load = lambda seconds: lab.load(tool, port, asked, seconds)
            load(1)
            {"perf": perf, "strace": strace}[how](list(map(str, lab.tree(process.pid))), load)
    finally:
        for process in reversed(started):
            lab.stop(process)


if __name__ == "__main__":
    main()

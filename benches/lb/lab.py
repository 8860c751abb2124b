"""Ports, peers and processes that the scripts here share.

Environment: LB_OUT (scratch), RHUMB_BIN, ENVOY, PROXY_CPU=0, LOAD_CPU=1, BASE_PORT=21000,
CPU_LOCK (a file to flock around samples, when the machine is shared).
"""
import fcntl
import json
import os
import re
import resource
import shlex
import signal
import socket
import subprocess
import time
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.environ.get("LB_OUT") or os.path.normpath(os.path.join(HERE, "../../target/lb"))
TOOLS = os.path.join(OUT, "tools/release")
PROXY_CPU = os.environ.get("PROXY_CPU", "0")
LOAD_CPU = os.environ.get("LOAD_CPU", "1")
BASE = int(os.environ.get("BASE_PORT", "21000"))
HZ = os.sysconf("SC_CLK_TCK")

PORT = dict(H1=BASE + 80, TLS=BASE + 443, H2C=BASE + 81, H2H2=BASE + 82, TCP=BASE + 90, TCPS=BASE + 91, DNS=BASE + 53)
PORT.update({"O%d" % i: BASE + i for i in range(1, 5)})        # HTTP/1.1 origins
PORT.update({"P%d" % i: BASE + 10 + i for i in range(1, 5)})   # HTTP/2 origins

HEADERS = ["Host: bench.local", "User-Agent: bench/1.0", "Accept: */*", "Accept-Encoding: gzip, br",
           "Cookie: sid=0123456789abcdef"]


def peers():
    with open(os.path.join(HERE, "peers.toml"), "rb") as f:
        return tomllib.load(f)


def names():
    """What {NAME} in a command and @NAME@ in a configuration stand for."""
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True).stderr if have("nginx") else ""
    modules = re.search(r"--modules-path=(\S+)", built)
    return dict(PORT, OUT=OUT, CERT=OUT + "/cert.pem", KEY=OUT + "/key.pem", RHUMB=os.environ.get("RHUMB_BIN", "rhumb"),
                ENVOY=os.environ.get("ENVOY", "envoy"), NGXMOD=modules[1] if modules else "modules")


def have(program):
    return any(os.access(os.path.join(d, program), os.X_OK) for d in os.environ["PATH"].split(":"))


def prepare():
    """Certificate, configurations, and as many descriptors as there may be."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.makedirs(OUT + "/log", exist_ok=True)
    cert, key = OUT + "/cert.pem", OUT + "/key.pem"
    if not os.path.exists(cert):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                        "-out", cert, "-days", "30", "-subj", "/CN=bench.local", "-addext", "subjectAltName=DNS:bench.local"],
                       check=True, capture_output=True)
        with open(OUT + "/both.pem", "w") as f:
            f.write(open(cert).read() + open(key).read())
    values = names()
    for file in os.listdir(HERE + "/peers"):
        if file.endswith(".in"):
            text = open(os.path.join(HERE, "peers", file)).read()
            with open(os.path.join(OUT, file[:-3]), "w") as f:
                f.write(re.sub(r"@(\w+)@", lambda m: str(values[m[1]]), text))
    open(OUT + "/none", "w").close()
    with open(OUT + "/grpc.bin", "wb") as f:
        f.write(b"\0\0\0\0\x40" + b"y" * 64)


def spawn(command, cpu, log):
    """Starts a program in a session of its own, on one CPU."""
    f = open(os.path.join(OUT, log), "ab")
    return subprocess.Popen(["taskset", "-c", cpu] + command, stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                            start_new_session=True, cwd=OUT)


def stop(process):
    if process is None or process.poll() is not None:
        return
    for sig, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
        try:
            os.killpg(process.pid, sig)   # the session that `spawn` began
            process.wait(patience)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            pass


def wait_port(port, process=None, patience=10):
    end = time.time() + patience
    while time.time() < end:
        if process and process.poll() is not None:
            raise RuntimeError("exited with %d" % process.returncode)
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("port %d does not answer" % port)


def start(name, peer, port):
    """Starts a peer and waits until it listens."""
    process = spawn(shlex.split(peer["cmd"].format(**names())), PROXY_CPU, "log." + name)
    try:
        wait_port(port, process)
    except Exception:
        stop(process)
        raise
    return process


def origins(with_h2):
    """The origins, on the generator's CPU."""
    started = []
    at = lambda letter: ",".join("127.0.0.1:%d" % PORT["%s%d" % (letter, i)] for i in range(1, 5))
    started.append(spawn([TOOLS + "/lbtools", "origin", at("O")], LOAD_CPU, "log.origin"))
    wait_port(PORT["O1"], started[0])
    if with_h2:
        started.append(spawn([TOOLS + "/h2origin", at("P")], LOAD_CPU, "log.h2origin"))
        wait_port(PORT["P1"], started[1])
    return started


def port_of(peer, key):
    """Where a peer serves `key`; none when it does not."""
    for word in peer["ports"].split():
        served, _, elsewhere = word.partition("=")
        if served == key:
            return PORT[elsewhere or served.upper()]
    return None


class Lock:
    """Holds CPU_LOCK."""
    def __enter__(self):
        path = os.environ.get("CPU_LOCK")
        self.file = open(path, "a") if path else None
        if self.file:
            fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        if self.file:
            self.file.close()


# What processes cost

def tree(pid):
    """A process and all below it."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            for task in os.listdir("/proc/%d/task" % pid):
                todo += map(int, open("/proc/%d/task/%s/children" % (pid, task)).read().split())
        except OSError:
            pass
    return found


def cpu_s(pid):
    """Seconds of CPU in user space and in the kernel."""
    user = system = 0
    for p in tree(pid):
        try:
            fields = open("/proc/%d/stat" % p).read().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        except OSError:
            pass
    return user / HZ, system / HZ


def memory_kib(pid):
    """Resident, and with shared pages counted once."""
    rss = pss = 0
    for p in tree(pid):
        try:
            rss += int(re.search(r"VmRSS:\s+(\d+)", open("/proc/%d/status" % p).read())[1])
            pss += int(re.search(r"\nPss:\s+(\d+)", open("/proc/%d/smaps_rollup" % p).read())[1])
        except (OSError, TypeError):
            pass
    return rss, pss


def switches(pid):
    """Context switches so far."""
    total = 0
    for p in tree(pid):
        try:
            for task in os.listdir("/proc/%d/task" % p):
                total += sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", open("/proc/%d/task/%s/status" % (p, task)).read())))
        except OSError:
            pass
    return total


def proxy_cpu_s():
    """Seconds the proxy's CPU was used by anybody, and stolen by the host."""
    for line in open("/proc/stat"):
        if line.startswith("cpu%s " % PROXY_CPU):
            f = list(map(int, line.split()[1:]))
            return (f[0] + f[1] + f[2] + f[5] + f[6]) / HZ, f[7] / HZ


# Load

def microseconds(text):
    number, unit = re.match(r"([\d.]+)(us|ms|s|m)$", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


def load(tool, port, how, seconds):
    """Runs a generator; what it counted."""
    url = "%s://127.0.0.1:%d%s" % ("https" if how.get("tls") else "http", port, how["path"])
    # Not beside the peers' configurations: who watches its own for changes would hear of every line.
    log = OUT + "/log/h2.log"
    if tool == "wrk":
        command = ["wrk", "-t1", "-c%d" % how["c"], "-d%ds" % seconds, "--timeout", "5s", "--latency"]
        for header in HEADERS + (["Connection: close"] if how.get("close") else []):
            command += ["-H", header]
        command.append(url)
    elif tool == "h2load":
        if os.path.exists(log):
            os.unlink(log)
        command = ["h2load", "-t1", "-c%d" % how["c"], "-m%d" % how["m"], "-D%d" % seconds, "--log-file=" + log]
        for header in HEADERS[1:]:
            command += ["-H", header]
        if how.get("grpc"):
            command += ["-H", "content-type: application/grpc", "-H", "te: trailers", "-d", OUT + "/grpc.bin"]
        command.append(url)
    else:
        command = [TOOLS + "/tlsrate"] if tool == "tlsrate" else [TOOLS + "/lbtools", tool]
        command += ["127.0.0.1:%d" % port] + ([str(how["rate"])] if tool == "gen" else [])
        command += [str(seconds), str(how["c"]), how["path"]] + (["resume"] if how.get("resume") else [])
    run = subprocess.run(["taskset", "-c", LOAD_CPU] + command, capture_output=True, text=True, timeout=seconds + 20)
    try:
        return {"wrk": read_wrk, "h2load": read_h2load}.get(tool, read_json)(run.stdout, log, tool)
    except (TypeError, ValueError, IndexError):
        raise RuntimeError("%s: %s %s" % (tool, run.stdout[-300:], run.stderr[-300:]))


def read_wrk(said, _log, _tool):
    total, took = re.search(r"(\d+) requests in ([\d.]+\w+),", said).groups()
    quantile = lambda q: microseconds(re.search(q + r"%\s+(\S+)", said)[1])
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", said)))
    errors += sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
    return dict(n=int(total), rps=int(total) / microseconds(took) * 1e6, p50=quantile("50"), p99=quantile("99"), err=errors, bytes=0)


def read_h2load(said, log, _tool):
    took = microseconds(re.search(r"finished in ([\d.]+\w+),", said)[1]) / 1e6
    done, good = map(int, re.search(r", (\d+) done, (\d+) succeeded", said).groups())
    lines = [line.split("\t") for line in open(log)]
    # Without errors on the connection, but with those of the server.
    bad = sum(1 for line in lines if not line[1].startswith("2"))
    latency = sorted(int(line[2]) for line in lines)
    return dict(n=good, rps=good / took, p50=latency[len(latency) // 2], p99=latency[len(latency) * 99 // 100],
                err=max(done - good, bad), bytes=0)


def read_json(said, _log, tool):
    j = json.loads(said)
    return dict(n=j["requests"], rps=j["rps"], p50=j["p50_us"], p99=j["p99_us"], err=j["errors"],
                bytes=j["bytes"] if tool == "bulk" else 0, late=j["late"], full=j.get("full"))

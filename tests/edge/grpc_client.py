"""A gRPC client of the tests: grpc_client.py ADDRESS WHAT [CERTIFICATE]. Says what is wrong, and "done"."""
import collections
import sys
import threading
import time

import grpc

ADDRESS, WHAT = sys.argv[1:3]
if len(sys.argv) > 3:
    trust = grpc.ssl_channel_credentials(open(sys.argv[3], "rb").read())
    channel = grpc.secure_channel(ADDRESS, trust, [("grpc.ssl_target_name_override", "www.example.com")])
else:
    channel = grpc.insecure_channel(ADDRESS, [("grpc.default_authority", "www.example.com")])
unary = channel.unary_unary("/t.S/Unary")


def expect(what, found, wanted):
    if found != wanted:
        print("%s: %r instead of %r" % (what, found, wanted), flush=True)


def error(call):
    try:
        call()
    except grpc.RpcError as e:
        return e
    print("no error", flush=True)


def calls():
    said, call = unary.with_call(b"hello", timeout=10, metadata=[("x-mine", "1"), ("y-bin", b"\x00\x01")])
    expect("unary", said, b"<hello>")
    expect("initial metadata", dict(call.initial_metadata()).get("x-early"), "1")
    expect("trailers", dict(call.trailing_metadata()).get("x-bin-bin"), b"\x00\xff")
    expect("large", unary(b"x" * 3_000_000, timeout=20), b"<" + b"x" * 3_000_000 + b">")
    expect("empty", unary(b"", timeout=10), b"<>")
    expect("client streaming", channel.stream_unary("/t.S/Up")(iter([b"a", b"b", b"c"]), timeout=10), b"a+b+c")
    expect("no messages", channel.stream_unary("/t.S/Up")(iter([]), timeout=10), b"")
    down = channel.unary_stream("/t.S/Down")
    expect("server streaming", list(down(b"500", timeout=20)), [b"%d" % n for n in range(500)])
    expect("no answers", list(down(b"0", timeout=10)), [])


def bidi():
    # Each message waits for the answer to the one before: nothing may be held back.
    sent, turn = [], threading.Semaphore(1)

    def messages():
        for n in range(200):
            turn.acquire()
            sent.append(b"m%d" % n)
            yield sent[-1]

    found = []
    for answer in channel.stream_stream("/t.S/Both")(messages(), timeout=20):
        found.append(answer[::-1])
        turn.release()
    expect("in turn", found, sent)


def errors():
    e = error(lambda: channel.unary_unary("/t.S/Fail")(b"", timeout=10))
    expect("status", (e.code(), e.details()), (grpc.StatusCode.NOT_FOUND, "no such thing: caf\u00e9"))
    expect("trailers of an error", "x-server" in dict(e.trailing_metadata()), True)
    late = channel.unary_stream("/t.S/FailLate")(b"", timeout=10)
    expect("before a late error", next(late), b"one")
    expect("a late error", error(lambda: next(late)).code(), grpc.StatusCode.DATA_LOSS)
    expect("an unknown method", error(lambda: channel.unary_unary("/t.S/None")(b"", timeout=10)).code(), grpc.StatusCode.UNIMPLEMENTED)


def deadline():
    begin = time.time()
    expect("a deadline", error(lambda: channel.unary_unary("/t.S/Slow")(b"", timeout=0.5)).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    expect("in time", time.time() - begin < 3, True)


def cancel():
    call = channel.stream_stream("/t.S/Hold")(iter(lambda: time.sleep(0.1) or b"x", None))
    next(call)
    call.cancel()
    expect("cancelled", error(lambda: next(call)).code(), grpc.StatusCode.CANCELLED)
    time.sleep(1)


def spread():
    # All at once over the one connection that a channel has.
    calls = [channel.stream_stream("/t.S/Hold")(iter(lambda: time.sleep(1) or None, 1)) for _ in range(60)]
    open_now = collections.Counter(next(call) for call in calls)
    print("open at once: %s" % sorted(open_now.values()), flush=True)
    expect("servers", len(open_now), 3)
    expect("open at once", max(open_now.values()) - min(open_now.values()) <= 3, True)
    for call in calls:
        call.cancel()
    done = [unary.future(b"%d" % n, timeout=30) for n in range(300)]
    by_server = collections.Counter(dict(call.trailing_metadata())["x-server"] for call in done)
    print("in turn: %s" % sorted(by_server.values()), flush=True)
    expect("spread", all(95 <= count <= 105 for count in by_server.values()) and len(by_server), 3)


def unavailable():
    e = error(lambda: unary(b"", timeout=10))
    expect("unavailable", e.code(), grpc.StatusCode.UNAVAILABLE)


globals()[WHAT]()
print("done", flush=True)

"""A gRPC server of the tests: messages are bytes, and every answer names its server. grpc_server.py PORT NAME"""
import sys
import time
from concurrent import futures

import grpc

PORT, NAME = sys.argv[1:3]


def named(context):
    context.set_trailing_metadata((("x-server", NAME), ("x-bin-bin", b"\x00\xff")))


def unary(message, context):
    context.send_initial_metadata((("x-early", "1"),))
    named(context)
    return b"<" + message + b">"


def up(messages, context):
    named(context)
    return b"+".join(messages)


def down(message, context):
    named(context)
    for n in range(int(message)):
        yield b"%d" % n


def both(messages, context):
    named(context)
    for message in messages:
        yield message[::-1]


def fail(message, context):
    named(context)
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: caf\u00e9")


def fail_late(message, context):
    named(context)
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "after one")


def slow(message, context):
    for _ in range(100):
        if not context.is_active():
            break
        time.sleep(0.05)
    print("slow ended, active: %s, left: %s" % (context.is_active(), context.time_remaining()), flush=True)
    return b""


def hold(messages, context):
    context.add_callback(lambda: print("hold ended", flush=True))
    yield NAME.encode()
    for _ in messages:
        pass


class Handlers(grpc.GenericRpcHandler):
    def service(self, call):
        how = {
            "Unary": grpc.unary_unary_rpc_method_handler(unary),
            "Up": grpc.stream_unary_rpc_method_handler(up),
            "Down": grpc.unary_stream_rpc_method_handler(down),
            "Both": grpc.stream_stream_rpc_method_handler(both),
            "Fail": grpc.unary_unary_rpc_method_handler(fail),
            "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
            "Slow": grpc.unary_unary_rpc_method_handler(slow),
            "Hold": grpc.stream_stream_rpc_method_handler(hold),
        }
        return how.get(call.method.rsplit("/", 1)[1])


server = grpc.server(futures.ThreadPoolExecutor(max_workers=200))
server.add_generic_rpc_handlers((Handlers(),))
assert server.add_insecure_port("127.0.0.1:" + PORT) != 0
server.start()
print("ready", flush=True)
server.wait_for_termination()

"""What a Parley plugin in Python needs: a Plugin to derive from, and serve().

The contract, with all limits, is protocol/pluginpb/plugin.proto. In short: the
core starts this program with PARLEY_PLUGIN=parley in its environment; we print
one line that says which unix socket we listen on; the core connects and opens
one Session, a stream of requests and answers both ways; we exit when our
standard input closes or the session ends.
"""

import os
import queue
import stat
import sys
import tempfile
import threading
import time
import traceback
from concurrent import futures

import grpc

import health_pb2
import health_pb2_grpc
import plugin_pb2 as pb
import plugin_pb2_grpc

# Codes of google.rpc.Code that plugins give.
CANCELLED, UNKNOWN, INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED = 1, 2, 3, 5, 7
FAILED_PRECONDITION, UNIMPLEMENTED, UNAVAILABLE = 9, 12, 14

MAX_MESSAGE = 4 << 20  # of the stream
BATCH = 1 << 20  # past this, no more is put into a message
DRAIN_SECONDS = 3  # of the 5 the core gives us to stop


class Error(Exception):
    """A failure with a code and a sentence: what happened, to what, what to do.

    The reason, such as "NOT_AUTHOR", and the metadata, such as user="bob", say the
    same to programs; their bounds stand at Error in plugin.proto.
    """

    def __init__(self, code, text, reason="", **metadata):
        super().__init__(text)
        self.code, self.text, self.reason, self.metadata = code, text, reason, metadata


class Refuse(Exception):
    """Raised by handle() for a packet that is not what its type says."""


class Again(Exception):
    """Raised by Host within handle(): let it pass, and handle() is called again.

    Packets come in batches whose effects are committed together; what is to be
    read has to wait until those of the packets before are.
    """


class Plugin:
    """A feature. Only manifest() must be written.

    handle() and event() are called by one thread, in order; invoke() by one of
    its own for each call. Effects are what the core does for us: it commits all
    those of one call, together with the mark that it is done, or none.
    """

    host = None  # a Host, once start() is called

    def manifest(self):
        """Returns a pb.Manifest; the same at each call."""
        raise NotImplementedError

    def start(self, info):
        """Gets a pb.StartRequest: who we are, our folders, our settings."""

    def handle(self, packet):
        """Handles a pb.Packet of one of our types; returns a list of pb.Effect."""
        return []

    def event(self, chat, event):
        """Handles a pb.Event of a topic of the manifest; returns a list of pb.Effect."""
        return []

    def invoke(self, call, updates):
        """Does what a person asked for in a pb.InvokeRequest.

        updates(pb.InvokeUpdate(...)) shows something meanwhile, and raises
        Error when the person has cancelled. Returns a list of pb.Effect and the
        result, bytes or None.
        """
        raise Error(UNIMPLEMENTED, f"There is no action {call.action}.")


class Host:
    """The core, as far as a plugin may ask it."""

    def __init__(self, session):
        self._session = session
        self._lock = threading.Lock()  # guards the two below
        self._last = 0
        self._open = {}  # id -> queue that gets the answer

    def ask(self, **request):
        """Asks for one thing, e.g. ask(query_messages=pb.QueryMessages(...)).

        Returns the pb.HostResponse. Raises Error, or Again within handle().
        """
        if self._session.uncommitted():
            raise Again()
        answer = queue.Queue(1)
        with self._lock:
            self._last += 1
            id = self._last
            self._open[id] = answer
        self._session.say(pb.HostRequest(id=id, **request))
        try:
            response = answer.get(timeout=15)  # the core answers within 10 s
        except queue.Empty:
            raise Error(UNAVAILABLE, "Parley did not answer in time.") from None
        finally:
            with self._lock:
                self._open.pop(id, None)
        if response.HasField("error"):
            raise Error(response.error.code, response.error.message)
        return response

    def log(self, level, text):
        """Writes to the core's log; never message bodies, keys or passwords."""
        with self._lock:
            self._last += 1
            id = self._last
        self._session.say(pb.HostRequest(id=id, log=pb.LogRequest(level=level, text=cut(text, 1024))))

    def _answered(self, response):
        with self._lock:
            answer = self._open.pop(response.id, None)
        if answer is not None:
            answer.put(response)


class Session(plugin_pb2_grpc.PluginServicer):
    """Runs a Plugin over the one stream from the core."""

    def __init__(self, plugin):
        self._plugin = plugin
        self._host = Host(self)
        self._out = queue.Queue(64)  # what is to be said
        self._work = queue.Queue()  # requests that are served in order
        self._local = threading.local()
        self._lock = threading.Lock()  # guards the three below
        self._invokes = {}  # id -> thread
        self._cancelled = set()
        self._stopping = False

    def Session(self, requests, context):
        threading.Thread(target=self._read, args=(requests,), daemon=True).start()
        threading.Thread(target=self._serve, daemon=True).start()
        part = None
        while True:
            message, part = self._collect(part or self._out.get())
            yield message

    def _collect(self, part):
        """Puts what waits into one message; also returns a part that did not fit, or None."""
        message, size = pb.PluginMessage(), 0
        while True:
            size += part.ByteSize() + 16
            (message.responses if isinstance(part, pb.HookResponse) else message.requests).append(part)
            if size > BATCH:
                return message, None
            try:
                part = self._out.get_nowait()
            except queue.Empty:
                return message, None
            if size + part.ByteSize() + 16 > MAX_MESSAGE:
                return message, part

    def say(self, part):
        """Sends a pb.HookResponse or pb.HostRequest."""
        if part.ByteSize() > MAX_MESSAGE - 1024:
            if not isinstance(part, pb.HookResponse):
                raise Error(INVALID_ARGUMENT, "The request is too large.")
            part = pb.HookResponse(id=part.id, error=pb.Error(code=UNKNOWN, message="The plugin's answer is too large."))
        self._out.put(part)

    def _read(self, requests):
        try:
            for message in requests:
                for response in message.responses:
                    self._host._answered(response)
                for request in message.requests:
                    self._begin(request)
        finally:
            leave()  # the core has ended the session, or is gone

    def _begin(self, request):
        hook = request.WhichOneof("hook")
        if hook == "cancel":
            with self._lock:
                if request.cancel.id in self._invokes:
                    self._cancelled.add(request.cancel.id)
        elif hook == "invoke":
            thread = threading.Thread(target=self._answer, args=(request, self._invoke), daemon=True)
            with self._lock:
                stopping = self._stopping
                if not stopping:
                    self._invokes[request.id] = thread
            if stopping:
                self.say(pb.HookResponse(id=request.id, error=pb.Error(code=UNAVAILABLE, message="The plugin is stopping.")))
            else:
                thread.start()
        else:
            self._work.put(request)

    def _serve(self):
        """Serves all but invokes, in order."""
        while True:
            request = self._work.get()
            hook = request.WhichOneof("hook") or "none"
            self._answer(request, getattr(self, "_hook_" + hook, self._hook_none))

    def _answer(self, request, serve):
        """Answers a request, whatever happens."""
        try:
            response = serve(request)
        except Error as e:
            error = pb.Error(code=e.code, message=cut(e.text, 1024), reason=e.reason, metadata=e.metadata)
            response = pb.HookResponse(error=error)
        except Exception as e:
            traceback.print_exc()  # standard error goes to the core's log
            response = pb.HookResponse(error=pb.Error(code=UNKNOWN, message=cut(f"{type(e).__name__}: {e}", 1024)))
        with self._lock:
            self._invokes.pop(request.id, None)
            if request.id in self._cancelled:
                self._cancelled.remove(request.id)
                response = pb.HookResponse(error=pb.Error(code=CANCELLED, message="Cancelled."))
        response.id = request.id
        self.say(response)

    def _hook_describe(self, request):
        return pb.HookResponse(describe=pb.DescribeResponse(manifest=self._plugin.manifest()))

    def _hook_start(self, request):
        self._plugin.host = self._host
        self._plugin.start(request.start)
        return pb.HookResponse(start=pb.StartResponse())

    def _hook_handle(self, request):
        """Handles items until one fails or has to wait; at least the first is answered."""
        outcomes = []
        for item in request.handle.items:
            self._local.uncommitted = any(o.effects for o in outcomes)
            try:
                if item.HasField("packet"):
                    effects = self._plugin.handle(item.packet)
                elif item.HasField("event"):
                    effects = self._plugin.event(request.handle.chat, item.event)
                else:
                    effects = []  # of a newer core
                outcomes.append(pb.Outcome(effects=effects))
            except Refuse as e:
                outcomes.append(pb.Outcome(refuse=cut(str(e) or "not a valid packet", 200)))
            except Exception:
                if not outcomes:
                    raise
                break  # it comes again, as the first
            finally:
                self._local.uncommitted = False
        return pb.HookResponse(handle=pb.HandleResponse(outcomes=outcomes))

    def uncommitted(self):
        """Whether this thread handles an item behind others that have effects."""
        return getattr(self._local, "uncommitted", False)

    def _invoke(self, request):
        def updates(update):
            with self._lock:
                if request.id in self._cancelled:
                    raise Error(CANCELLED, "Cancelled.")
            self.say(pb.HookResponse(id=request.id, update=update))

        effects, result = self._plugin.invoke(request.invoke, updates)
        return pb.HookResponse(invoke=pb.InvokeResponse(effects=effects, result=result or b""))

    def _hook_stop(self, request):
        with self._lock:
            self._stopping = True
            threads = list(self._invokes.values())
        end = time.monotonic() + DRAIN_SECONDS
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
        # The core ends the session when it has the answer; if not, we do.
        timer = threading.Timer(1, leave)
        timer.daemon = True
        timer.start()
        return pb.HookResponse(stop=pb.StopResponse())

    def _hook_none(self, request):
        raise Error(UNIMPLEMENTED, "This plugin speaks version 1 of the plugin API, which has no such request.")


class Health(health_pb2_grpc.HealthServicer):
    """How the core sees that we are alive."""

    def Check(self, request, context):
        if request.service not in ("", "plugin"):
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


def cut(text, limit):
    """At most limit bytes of text."""
    return text.encode(errors="replace")[:limit].decode(errors="ignore")


_socket = None


def leave():
    """Ends the process at once: nothing of ours is worth waiting for."""
    if _socket:
        try:
            os.unlink(_socket)
        except OSError:
            pass
    sys.stderr.flush()
    os._exit(0)


def watch_input():
    """Leaves when standard input closes: the core is gone.

    Only a pipe or socket says something about the core.
    """
    mode = os.fstat(0).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        while os.read(0, 4096):
            pass
        leave()


def serve(plugin):
    """Runs plugin until the core ends it."""
    global _socket
    manifest = plugin.manifest()
    if os.environ.get("PARLEY_PLUGIN") != "parley":
        sys.stderr.write(
            f"This is parley-plugin-{manifest.name} {manifest.version}, a plugin of Parley: {manifest.summary}\n"
            "Parley starts it by itself; run by hand it does nothing.\n"
            "To install it, copy it into ~/.local/share/parley/plugins and enable it:\n"
            f"    parley plugins enable {manifest.name}\n"
        )
        sys.exit(2)
    os.umask(0o077)
    _socket = tempfile.mktemp(prefix="plugin", dir=os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or None)
    limits = [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), options=limits)
    plugin_pb2_grpc.add_PluginServicer_to_server(Session(plugin), server)
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    server.add_insecure_port("unix:" + _socket)
    server.start()
    # go-plugin's handshake: its protocol, ours, where we listen, how we speak.
    print(f"1|1|unix|{_socket}|grpc|", flush=True)
    threading.Thread(target=watch_input, daemon=True).start()
    server.wait_for_termination()

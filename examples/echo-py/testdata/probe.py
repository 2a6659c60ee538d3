"""Takes the place of echo.py in a test of parley.py: uses what echo does not."""

import time

import parley
import plugin_pb2 as pb

TYPE = "org.example.echo/echo"


def put(key, value):
    return pb.Effect(put_value=pb.PutValue(key=key, value=value))


class Echo(parley.Plugin):
    def manifest(self):
        return pb.Manifest(
            name="echo", version="1.0.0", api_version=1, summary="probe",
            packet_types=[pb.PacketType(name=TYPE)],
            actions=[pb.Action(name="count", label="Count"), pb.Action(name="crash", label="Crash")],
            settings=[pb.Setting(name="tea", type=pb.SETTING_TYPE_STRING, default_value="green")],
        )

    def start(self, info):
        self.host.log(pb.LEVEL_WARN, "user " + info.user + " drinks " + info.settings["tea"])

    def event(self, chat, event):
        return [put("tea", event.settings.settings["tea"].encode())]

    def handle(self, packet):
        """Appends the content to a value: what was handled before must be seen."""
        if packet.content == b"fail":
            raise ValueError("cannot")
        values = self.host.ask(query_values=pb.QueryValues(prefix="all")).values.values
        before = values[0].value if values else b""
        return [put("all", before + packet.content)]

    def invoke(self, call, updates):
        if call.action == "crash":
            raise ValueError("crashed")
        for done in range(3):
            updates(pb.InvokeUpdate(progress=pb.Progress(label="counting", done=done, total=3)))
        while call.text == "forever":
            time.sleep(0.01)
            updates(pb.InvokeUpdate(progress=pb.Progress(label="counting on")))
        self.host.ask(apply=pb.ApplyRequest(effects=[put("applied", b"yes")]))
        return [], b"counted"

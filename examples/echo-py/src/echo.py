"""The feature: /echo says something in a chat, as a message of a kind of its own.

This is all that an author writes; parley.py can be taken as it is.
"""

import json
import uuid

import parley
import plugin_pb2 as pb

# Types and kinds of plugins that do not come with Parley begin with a domain of
# their author's, written backwards.
TYPE = "org.example.echo/echo"
KIND = "org.example.echo/echo"
MAX_TEXT = 64 * 1024


class Echo(parley.Plugin):
    def manifest(self):
        return pb.Manifest(
            name="echo",
            version="1.0.0",
            api_version=1,
            summary="Says what you write behind /echo",
            packet_types=[pb.PacketType(name=TYPE, max_content=MAX_TEXT)],
            message_kinds=[pb.MessageKind(name=KIND, presentation=pb.PRESENTATION_TEXT, notifies=True)],
            actions=[pb.Action(name="echo", label="Echo", places=[pb.PLACE_SLASH_COMMAND])],
        )

    def invoke(self, call, updates):
        """Someone here typed /echo: send a packet, and show the message."""
        text = call.text.strip()
        if not text:
            raise parley.Error(parley.INVALID_ARGUMENT, "There is nothing to echo: write it behind /echo.")
        content = text.encode()
        if len(content) > MAX_TEXT:
            raise parley.Error(parley.INVALID_ARGUMENT, f"The text has {len(content)} bytes, at most {MAX_TEXT} fit.")
        # The packet has the invocation's id, so that asking twice sends once.
        # The core commits both effects together, or none.
        effects = [
            pb.Effect(send_packet=pb.SendPacket(id=call.invocation, chat=call.chat, type=TYPE, content=content)),
            pb.Effect(add_message=pb.AddMessage(id=call.invocation, chat=call.chat, kind=KIND, body=text)),
        ]
        return effects, json.dumps({"id": str(uuid.UUID(bytes=call.invocation))}).encode()

    def handle(self, packet):
        """A packet of our type came from somebody else: show the message."""
        try:
            text = packet.content.decode()
        except UnicodeDecodeError:
            raise parley.Refuse("the text is not valid UTF-8") from None
        if not text:
            raise parley.Refuse("the text is empty")
        return [pb.Effect(add_message=pb.AddMessage(id=packet.id, chat=packet.chat, kind=KIND, body=text))]

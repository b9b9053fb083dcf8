"""The router as a person at a terminal uses it: one question, or a chat.

Import what you need from the modules. Nothing is gathered here, because a shell that completes a
model's name imports this package too and must not wait:

- ``address``: which router to talk to, and with which key
- ``own``: a router of one command's own, if none is running
- ``api``: its API from outside; ``answering`` and ``events``: an answer as a stream of events
- ``conversation``: what has been said, and what is asked next
- ``printable``: text that cannot command a terminal
- ``screen``, ``prompt``, ``chat``: the chat
- ``question``: ``trunkline run``
"""

"""Running it: the socket, the server, signals, and several workers. What is served is app.py's."""

from trunkline.serving.run import Started as Started
from trunkline.serving.run import serve as serve

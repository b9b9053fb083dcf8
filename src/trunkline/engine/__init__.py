"""The embedded engine: llama.cpp in a supervised child process, its client and its model files.

Import what you need from the modules. Nothing is gathered here, because the child process imports
this package too and must stay small:

- ``model``: open a GGUF file and know what can be known before loading it
- ``supervisor``: keep the child running
- ``endpoint``: where the child is to be reached; passed between processes by a file
- ``client``: complete and tokenize
- ``child``: the process itself, ``python -m trunkline.engine``
"""

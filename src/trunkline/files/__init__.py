"""Files that a caller sends: their text, for models that read nothing else."""

from trunkline.files.text import Files

__all__ = ["Files"]

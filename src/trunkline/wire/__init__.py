"""The published formats as Structs and pure functions. Nothing here does I/O."""

"""The HTTP edge: decode, call one thing, encode. No decisions."""

"""The checks, a module for each kind of request; each has a function ``checks``."""

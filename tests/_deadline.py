"""How long a test waits for a process or thread that must end.

A deadline guards against deadlocks alone, and says nothing about speed: on a loaded machine
`import torch` may take half a minute.
"""

DEADLINE = 600.0  # seconds

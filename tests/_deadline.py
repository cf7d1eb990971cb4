"""How long a test waits for what must end.

A deadline is against deadlocks alone, and says nothing about speed: on a loaded machine
`import torch` may take half a minute.
"""

DEADLINE = 600.0  # seconds

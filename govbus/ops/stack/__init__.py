"""Real servers on a machine without Docker, Java or Postgres: Kafka, a schema registry and a database.

`Stack(home).up()` starts them as processes of our own, `down()` ends them; each server can be killed and started
again by itself, which is what the fault tests do.
"""

from govbus.ops.stack.errors import StackError
from govbus.ops.stack.local_stack import CACHE_FOLDER, OWN_SERVICES, ServerStatus, Stack, UpReport
from govbus.ops.stack.server import Server

__all__ = ["CACHE_FOLDER", "OWN_SERVICES", "Server", "ServerStatus", "Stack", "StackError", "UpReport"]

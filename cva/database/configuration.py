"""How the embedded server is set: for two cores and eight gigabytes, closed, and silent about rows.

Nothing a statement carries reaches the log: errors of statements are not logged at all
(`log_min_messages = log` keeps the server's own messages), neither are details and parameters.
Just-in-time compilation is off because it costs more than it gives on statements of this size.

Source: PostgreSQL 18 manual, chapter 19 "Server Configuration".
"""

from dataclasses import dataclass
from pathlib import Path

PORT = "5432"


@dataclass(frozen=True, slots=True)
class Tuning:
    """What differs between a laptop, a server and a throw-away cluster.

    `shared_buffers` is PostgreSQL's cache; `durable` is False only where losing everything in a
    power cut does not matter.
    """

    shared_buffers: str = "256MB"
    durable: bool = True


def configuration(tuning: Tuning, socket: Path, log: Path) -> str:
    """Return the text of the configuration file; `socket` and `log` are folders."""
    durable = "on" if tuning.durable else "off"
    settings = {
        "listen_addresses": "''",
        "port": PORT,
        "unix_socket_directories": _quoted(socket),
        "unix_socket_permissions": "0700",
        "max_connections": "60",
        "shared_buffers": tuning.shared_buffers,
        "work_mem": "32MB",
        "maintenance_work_mem": "256MB",
        "effective_cache_size": "2GB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "synchronous_commit": durable,
        "fsync": durable,
        "full_page_writes": durable,
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "logging_collector": "on",
        "log_directory": _quoted(log),
        "log_filename": "'postgresql-%a.log'",
        "log_file_mode": "0600",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_statement": "none",
        "log_min_duration_statement": "-1",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"

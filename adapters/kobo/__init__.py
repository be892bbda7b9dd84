"""Exports of KoboToolbox: reading XLSX, API JSON and JSON lines, and writing the same shapes."""

from adapters.kobo.opening import Description, describe, open_export

__all__ = ["Description", "describe", "open_export"]

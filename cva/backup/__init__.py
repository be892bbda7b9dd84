"""Backups: one sealed file that holds the whole database, and the way back from it.

* `sealing` - the file: encrypted in chunks that cannot be read, cut, swapped or exchanged;
* `content` - what a database holds, in figures that tell whether a copy is the same;
* `making` - a consistent dump into such a file;
* `restoring` - from such a file into an empty database, verified, or not at all.

The master key is not in a backup: whoever has the file alone has nothing. It is kept on the
recovery sheet.
"""

from cva.backup.content import Content, Manifest
from cva.backup.making import make
from cva.backup.restoring import restore

__all__ = ["Content", "Manifest", "make", "restore"]

"""Card processors that work by batch files: the file format and the folder it travels through.

`CardFiles` writes and reads the files (layout in `adapters.cards.layout`), `FolderChannel` drops
them into a folder and collects what the processor left. Neither ever sees a card number: a card is
known by the reference of its sealed pack or the processor's token.
"""

from adapters.cards.files import CardFiles
from adapters.cards.folder import FolderChannel
from adapters.cards.layout import REJECT_CODES, RESULT_CODES

__all__ = ["REJECT_CODES", "RESULT_CODES", "CardFiles", "FolderChannel"]

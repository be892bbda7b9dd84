"""Documents that are true: their blocks are found and played as one session of a shell.

* ```sh blocks are commands; all of a document (or of several) are one session, as a reader types
  them, so that variables go on from block to block;
* ```console blocks show commands after `$ ` that are too long to be played here; what they name is
  checked in another way.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS_MAX = 1_800


@dataclass(frozen=True)
class Block:
    """A fenced block: its document, the line it starts on, its language and its text."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks_of(document: Path, language: str) -> Iterator[Block]:
    content = document.read_text(encoding="utf-8")
    for found in FENCE.finditer(content):
        if found[1] == language:
            line = content[: found.start(2)].count("\n") + 1
            yield Block(document, line, language, found[2])


def shown_commands(document: Path) -> list[str]:
    """The commands of the console blocks, without their remarks."""
    return [
        line.removeprefix("$ ").partition("#")[0].strip()
        for block in blocks_of(document, "console")
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]


def clone(folder: Path) -> None:
    """Let `folder` look like a clone that `make` has set up, as far as documents use it."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    activate = f'PATH="{Path(sys.executable).parent}:$PATH"\n'
    (folder / ".venv" / "bin" / "activate").write_text(activate, encoding="utf-8")
    for name in ("cva", "eligibility", "simulations"):
        (folder / name).symlink_to(ROOT / name)


def played(
    blocks: Sequence[Block], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Play the blocks in `folder`; the first command that fails ends it and names its block."""
    script = [
        "set -euo pipefail",
        "trap 'code=$?; [ $code = 0 ] || echo \"exit code $code in the block at $place\" >&2' EXIT",
    ]
    for block in blocks:
        script += [f"place={block.place}", f"echo '== {block.place}'", block.text]
    return subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )

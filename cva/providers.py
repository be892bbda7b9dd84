"""Providers: what the installation knows about the banks and card processors it works with.

A provider is a format (how its files read), a channel (how they travel) and the account of ours
that it debits. They stand in one YAML file, `providers.yaml` in the data folder; passwords stand in
files of their own and are named there, never written there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from adapters.bank import BankChannel
from adapters.cards import CardFiles, FolderChannel
from adapters.iso20022 import Iso20022
from adapters.port import Channel, Format, Operation
from eligibility.rules.wording import plain_reason
from ledgers import money
from ledgers.problems import Answer, Problem

PROVIDER_NOT_FOUND = Problem(
    "provider_not_found", "There is no provider {provider}; known are: {known}.",
    "Add it to the providers file, or name one of these.", Answer.NOT_FOUND,
)  # fmt: skip
PROVIDERS_UNREADABLE = Problem(
    "providers_unreadable",
    "The providers file {file} cannot be used: {problems}.",
    "Correct the file; `cva help finance` shows an example.",
)


@dataclass(frozen=True, slots=True)
class Provider:
    """One bank or card processor, ready to be used."""

    code: str
    operation: Operation
    destination: str  # the kind of identifier its instructions go to; set by the programme
    format: Format
    channel: Channel
    debtor_name: str
    debtor_account: str
    debtor_agent: str
    suffix: str
    names_payee: bool
    remittance: str


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str = Field(pattern=r"^[A-Z0-9-]{2,20}$")
    debtor_name: str
    remittance: str = ""


class CardProcessorEntry(_Entry):
    """A card processor reached through a pair of folders."""

    kind: Literal["card_processor"]
    programme: str
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    outgoing: Path
    incoming: Path


class BankEntry(_Entry):
    """A bank reached over HTTP."""

    kind: Literal["bank"]
    url: str
    user: str
    password_file: Path
    account: str
    agent: str = ""
    payments_path: str = "/payments"
    mailbox_path: str = "/mailbox"


class ProvidersFile(BaseModel):
    """The providers of an installation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    providers: list[Annotated[CardProcessorEntry | BankEntry, Field(discriminator="kind")]]

    @model_validator(mode="after")
    def _each_once(self) -> "ProvidersFile":
        codes = [entry.code for entry in self.providers]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            message = f"the code {', '.join(twice)} stands there twice"
            raise ValueError(message)
        return self


def read(path: Path) -> Mapping[str, CardProcessorEntry | BankEntry]:
    """Return the entries of the providers file by code; an absent file has none.

    Raises `providers_unreadable` with every problem of the file.
    """
    if not path.exists():
        return {}
    try:
        content = ProvidersFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the file'}: {plain_reason(e, ProvidersFile)}"
            for e in error.errors()
        )
        raise PROVIDERS_UNREADABLE.refusal(file=path.name, problems=problems) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise PROVIDERS_UNREADABLE.refusal(file=path.name, problems="not YAML") from None
    return {entry.code: entry for entry in content.providers}


def connect(path: Path, code: str, destination: str) -> Provider:
    """Return the provider `code` for instructions that go to `destination`; opens no connection.

    Raises `provider_not_found`, `providers_unreadable`.
    """
    entries = read(path)
    entry = entries.get(code)
    if entry is None:
        known = ", ".join(sorted(entries)) or "none"
        raise PROVIDER_NOT_FOUND.refusal(provider=code, known=known)
    if isinstance(entry, BankEntry):
        return _bank(entry, destination, _password(entry, path.name))
    return _card_processor(entry, destination)


def _password(entry: BankEntry, file: str) -> str:
    try:
        return entry.password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        problems = f"the password file of {entry.code} cannot be read"
        raise PROVIDERS_UNREADABLE.refusal(file=file, problems=problems) from None


def _bank(entry: BankEntry, destination: str, password: str) -> Provider:
    channel = BankChannel(
        entry.url,
        entry.user,
        password,
        payments_path=entry.payments_path,
        mailbox_path=entry.mailbox_path,
    )
    return Provider(
        code=entry.code, operation=Operation.CREDIT_TRANSFER, destination=destination,
        format=Iso20022(), channel=channel, debtor_name=entry.debtor_name,
        debtor_account=entry.account, debtor_agent=entry.agent, suffix=".xml", names_payee=True,
        remittance=entry.remittance,
    )  # fmt: skip


def _card_processor(entry: CardProcessorEntry, destination: str) -> Provider:
    files = CardFiles(entry.programme, entry.currency, money.exponent(entry.currency))
    return Provider(
        code=entry.code, operation=Operation.LOAD, destination=destination, format=files,
        channel=FolderChannel(entry.outgoing, entry.incoming), debtor_name=entry.debtor_name,
        debtor_account=entry.programme, debtor_agent="", suffix=".txt", names_payee=False,
        remittance=entry.remittance,
    )  # fmt: skip

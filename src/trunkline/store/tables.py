"""The tables, as this release expects them. A migration brings a database here."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from trunkline.store.records import NO_LIMITS, Attempt, Decision, Limits

# The newest file under migrations/versions; a test holds the two together. It stands here so that
# a start on an up-to-date database need not import Alembic.
SCHEMA_VERSION = "0004"

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)

_encode = msgspec.json.Encoder().encode
_decode_attempts = msgspec.json.Decoder(tuple[Attempt, ...]).decode
_decode_decision = msgspec.json.Decoder(Decision).decode
_decode_limits = msgspec.json.Decoder(Limits).decode


class Moment(TypeDecorator[datetime.datetime]):
    """A moment as integer microseconds since 1970 in UTC: the same in both databases, and exact."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime.datetime | None:
        return None if value is None else _EPOCH + value * _MICROSECOND


class Attempts(TypeDecorator[tuple[Attempt, ...]]):
    """The attempts of one request, as a JSON list. Only ever read with their row, hence plain text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[Attempt, ...] | None, dialect: Dialect) -> str:
        return _encode(value or ()).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[Attempt, ...]:
        return _decode_attempts(value)


class Choice(TypeDecorator[Decision]):
    """How a request's deployments were chosen, as a JSON object; read with its row, too."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Decision | None, dialect: Dialect) -> str | None:
        return None if value is None else _encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Decision | None:
        return None if value is None else _decode_decision(value)


class KeyLimits(TypeDecorator[Limits]):
    """What a key may use, as a JSON object; NULL where nothing is limited."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Limits | None, dialect: Dialect) -> str | None:
        return None if value is None or value == NO_LIMITS else _encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Limits:
        return NO_LIMITS if value is None else _decode_limits(value)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("hash", String, nullable=False, unique=True),
    Column("prefix", String, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("limits", KeyLimits),
)

requests = Table(
    "requests",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("key_id", ForeignKey("keys.id"), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("api", String, nullable=False),
    Column("model", String, nullable=False),
    Column("provider", String),
    Column("answered_model", String),
    Column("attempts", Attempts, nullable=False),
    Column("decision", Choice),
    Column("stream", Boolean, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error_code", String),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost_nano_usd", BigInteger),
    Column("estimated", Boolean, nullable=False),
    Column("first_token_ms", BigInteger),
    Column("duration_ms", BigInteger, nullable=False),
    Index(None, "account_id", "created_at"),
)

responses = Table(
    "responses",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("previous_id", String),  # no foreign key: a link of a chain may be deleted
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, index=True),
    Column("body", LargeBinary, nullable=False),
    Column("log", LargeBinary),
    Column("items_bytes", BigInteger, nullable=False),
)

response_items = Table(
    "response_items",
    metadata,
    Column("response_id", ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True),
    Column("side", String, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("id", String, nullable=False),
    Column("account_id", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index(None, "account_id", "id"),
)

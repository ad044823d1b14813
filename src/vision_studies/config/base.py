"""What every settings model shares."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Typed, immutable parameters. Values live in `conf/`; a key that no field names is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

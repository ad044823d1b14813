import pytest
from pydantic import ValidationError

from vision_studies.config.storage import StorageSettings


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (None, {}),
        ("s3://bucket/folder", {"endpoint_url": "http://127.0.0.1:9000", "anon": True}),
        ("s3://bucket", {"client_kwargs": {"region_name": "eu-central-1"}, "profile": "cluster"}),
        ("gs://bucket", {"token": "anon"}),
        ("file:///mnt/studies", {}),
        ("sftp://someone@machine/folder", {"key_filename": "~/.ssh/id_ed25519"}),
    ],
)
def test_addresses_and_options_without_secrets_are_taken(url, options):
    assert StorageSettings(url=url, options=options).options == options


@pytest.mark.parametrize(
    "options",
    [
        {"key": "AKIA"},
        {"secret": "x"},
        {"token": "ya29.x"},
        {"client_kwargs": {"aws_secret_access_key": "x"}},
        {"aws_access_key_id": "x"},
        {"account_key": "x"},
        {"connection_string": "x"},
        {"nested": [{"password": "x"}]},
        {"proxy": "http://user:pass@proxy:8080"},
    ],
)
def test_secrets_are_refused_because_parameters_are_recorded(options):
    with pytest.raises(ValidationError, match="looks like a secret, and parameters are recorded"):
        StorageSettings(url="s3://bucket", options=options)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/mnt/studies", "must begin with a protocol"),
        ("bucket/folder", "must begin with a protocol"),
        ("simplecache::s3://bucket", "must begin with a protocol"),
        ("sftp://user:word@machine/folder", "holds a password"),
        ("https://account/container?sig=abc", "holds a password or a signature"),
    ],
)
def test_addresses_that_cannot_be_meant_are_refused(url, message):
    with pytest.raises(ValidationError, match=message):
        StorageSettings(url=url, options={})

"""What each answer means to the core, and that no answer repeats what it must not."""

import json

import pytest

from drivers.base import Conflict, DriverError, Refused, Throttled, Unavailable
from drivers.kubernetes.answers import Gone, error_of

SAID = "the field spec.replicas must not be negative"


def of(code: int, headers: dict[str, str] | None = None, body: bytes | None = None) -> DriverError:
    said = json.dumps({"kind": "Status", "message": SAID}).encode() if body is None else body
    return error_of(code, said, headers or {}, "apply Deployment web")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, Refused) for code in (400, 401, 403, 404, 413, 422)),
        *((code, Unavailable) for code in (500, 503, 504)),
        (409, Conflict),
        (410, Gone),
        (429, Throttled),
    ],
)
def test_a_status_is_one_kind_of_error_that_says_what_was_asked(code: int, kind: type[DriverError]):
    error = of(code)
    assert type(error) is kind
    assert "apply Deployment web" in str(error)


@pytest.mark.parametrize("code", [400, 403, 404, 409, 422, 500])
def test_the_servers_own_sentence_is_told(code: int):
    assert SAID in str(of(code))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"text"', b"null", b'{"kind": "Status"}'])
def test_a_server_that_says_nothing_readable_is_still_answered(body: bytes):
    assert "it gave no reason" in str(of(422, body=body))


def test_a_long_sentence_is_cut():
    assert len(str(of(422, body=json.dumps({"message": "x" * 100_000}).encode()))) < 1000


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("0", 0.0), ("7", 7.0), ("-1", 0.0), ("100000", 300.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None)],
)
def test_how_long_to_wait_is_bounded(said: str, seconds: float | None):
    error = of(429, {"Retry-After": said})
    assert isinstance(error, Throttled)
    assert error.retry_after_seconds == seconds


def test_nobody_waits_for_a_time_that_is_not_a_number():
    error = of(429, {"Retry-After": "nan"})
    assert isinstance(error, Throttled)
    assert error.retry_after_seconds is None or 0.0 <= error.retry_after_seconds <= 300.0


def test_a_manifest_that_server_side_apply_cannot_read_is_refused_though_it_answers_500():
    for said in (
        "failed to create typed patch object (demo/x; /v1, Kind=Secret): .datax: field not declared in schema",
        "failed to convert new object (demo/x; /v1, Kind=Secret) to proper version: error decoding from json",
    ):
        assert type(of(500, body=json.dumps({"message": said}).encode())) is Refused


@pytest.mark.parametrize(
    "said",
    [
        ".stringData.p: expected string, got &value.valueUnstructured{Value:hunter2}",
        'metadata.name: Invalid value: "hunter2": must consist of lower case letters',
        'metadata.name: Invalid value: "a\\"hunter2": must consist of lower case letters',
        'spec.containers: got &value.valueUnstructured{Value:map[string]interface {}{"a":"hunter2"}}',
        'spec.template: Invalid value: {"metadata":{},"env":[{"value":"a: hunter2"}]}: field is immutable',
        'spec.template: Invalid value: core.PodSpec{Env:"hunter2"}: field is immutable',
        'spec.type: Unsupported value: "hunter2": supported values: "a"',
        'spec.env[1]: Duplicate value: {"name":"hunter2"}',
        "spec.ports[0].port: Invalid value: hunter2: must be between 1 and 65535",
    ],
)
def test_a_value_that_the_server_repeats_is_not_told(said: str):
    for code in (400, 409, 422, 500):
        told = str(of(code, body=json.dumps({"message": said}).encode()))
        assert "hunter2" not in told
        assert said.split(":", maxsplit=1)[0] in told


def test_a_namespace_that_is_being_deleted_is_waited_for():
    said = "unable to create new content in namespace demo because it is being terminated"
    assert type(of(403, body=json.dumps({"message": said}).encode())) is Unavailable


def test_another_object_in_the_place_of_ours_is_a_conflict():
    said = 'Secret "x" is invalid: metadata.uid: Invalid value: "u-1": field is immutable'
    assert type(of(422, body=json.dumps({"message": said}).encode())) is Conflict

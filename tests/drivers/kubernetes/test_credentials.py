"""Who we are to a cluster, by each way to say it; a wrong one is told, and never taken for nobody."""

import asyncio
import json
import ssl
import stat
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from drivers.base import Refused, Unavailable
from drivers.kubernetes.credentials import by_kubeconfig, from_inside

URL = "https://127.0.0.1:1/"


def kubeconfig(folder: Path, server: str, user: Mapping[str, Any], **cluster: Any) -> Path:
    """A kubeconfig file with one context, `there`."""
    file = folder / "kubeconfig"
    there = {"cluster": "there", "user": "we"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "there", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "we", "user": dict(user)}],
        "contexts": [{"name": "there", "context": there}],
        "current-context": "there",
    }
    file.write_text(yaml.safe_dump(content))
    return file


def plugin(folder: Path, body: str) -> dict[str, object]:
    """A user whose credentials a program makes."""
    file = folder / "plugin"
    file.write_text(f"#!{sys.executable}\n{body}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": str(file), "interactiveMode": "Never"}}


def counting(folder: Path, expires: datetime) -> dict[str, object]:
    """A plugin whose tokens are numbered."""
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    body = f"""
import json, pathlib
count = pathlib.Path({str(folder / "count")!r})
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
status = {{"token": f"t{{number}}", "expirationTimestamp": {expires.strftime("%Y-%m-%dT%H:%M:%SZ")!r}}}
print(json.dumps({{**{json.dumps(credential)}, "status": status}}))
"""
    return plugin(folder, body)


async def test_a_token_is_shown_and_the_server_is_told_without_a_slash(tmp_path: Path):
    access = by_kubeconfig(str(kubeconfig(tmp_path, URL, {"token": "abc"})))
    await access.open()
    assert await access.headers() == {"Authorization": "Bearer abc"}
    assert access.server == "https://127.0.0.1:1"


async def test_a_token_in_a_file_is_read_again_when_the_credentials_are_made_anew(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("first")
    access = by_kubeconfig(str(kubeconfig(tmp_path, URL, {"tokenFile": str(file)})))
    await access.open()
    assert await access.headers() == {"Authorization": "Bearer first"}
    file.write_text("second")
    await access.refresh()
    assert await access.headers() == {"Authorization": "Bearer second"}


async def test_a_plugin_is_asked_again_only_when_its_token_ends(tmp_path: Path):
    later, soon = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (60, 1))
    for name, expires, shown in (("later", later, "Bearer t1"), ("soon", soon, "Bearer t2")):
        folder = tmp_path / name
        folder.mkdir()
        access = by_kubeconfig(str(kubeconfig(folder, URL, counting(folder, expires))))
        await access.open()
        assert (await access.headers())["Authorization"] == shown, name


@pytest.mark.parametrize("body", ["import sys; sys.exit('log in first')", "print('no JSON')", "print({})"])
async def test_a_plugin_that_gives_nothing_is_refused_and_nobody_is_not_taken_for_us(tmp_path: Path, body: str):
    user = plugin(tmp_path, body)
    with pytest.raises(Refused, match="plugin gave no credentials"):
        await by_kubeconfig(str(kubeconfig(tmp_path, URL, user))).open()


async def test_a_plugin_that_is_not_there_is_refused(tmp_path: Path):
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such/plugin"}}
    with pytest.raises(Refused, match="/no/such/plugin"):
        await by_kubeconfig(str(kubeconfig(tmp_path, URL, user))).open()


@pytest.mark.parametrize("context", [None, "there"])
async def test_a_context_is_chosen_by_name_or_is_the_current_one(tmp_path: Path, context: str | None):
    access = by_kubeconfig(str(kubeconfig(tmp_path, URL, {"token": "abc"})), context)
    await access.open()
    assert access.server == "https://127.0.0.1:1"


async def test_a_missing_context_is_named(tmp_path: Path):
    with pytest.raises(Refused, match="elsewhere"):
        await by_kubeconfig(str(kubeconfig(tmp_path, URL, {})), "elsewhere").open()


async def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(Refused, match="kubeconfig"):
        await by_kubeconfig(str(tmp_path / "none")).open()


async def test_outside_of_a_cluster_there_is_no_access_from_inside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(Refused):
        await from_inside().open()


async def test_what_was_not_opened_is_unavailable():
    with pytest.raises(Unavailable):
        await by_kubeconfig("/nowhere").headers()


async def test_servers_are_verified_unless_the_kubeconfig_says_otherwise(tmp_path: Path):
    for extra, wanted in (({}, ssl.CERT_REQUIRED), ({"insecure-skip-tls-verify": True}, ssl.CERT_NONE)):
        access = by_kubeconfig(str(kubeconfig(tmp_path, URL, {"token": "abc"}, **extra)))
        await access.open()
        context = await asyncio.to_thread(access.tls)
        assert isinstance(context, ssl.SSLContext)
        assert (context.verify_mode, context.check_hostname) == (wanted, wanted == ssl.CERT_REQUIRED)


async def test_a_certificate_that_cannot_be_used_is_refused(tmp_path: Path):
    for name in ("ca", "client", "key"):
        (tmp_path / name).write_text("not a certificate")
    user = {"client-certificate": str(tmp_path / "client"), "client-key": str(tmp_path / "key")}
    access = by_kubeconfig(str(kubeconfig(tmp_path, URL, user)))
    await access.open()
    with pytest.raises(Refused, match="certificates"):
        access.tls()


@pytest.mark.parametrize("text", ["", "a: [b", "users: hunter2\n  x: y", "hunter2", "[hunter2]", "\0hunter2"])
async def test_a_file_that_is_no_kubeconfig_is_refused_and_not_repeated(tmp_path: Path, text: str):
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(Refused, match="kubeconfig") as seen:
        await by_kubeconfig(str(file)).open()
    assert "hunter2" not in f"{seen.value} {seen.value.__cause__}"


async def test_a_kubeconfig_without_a_server_is_refused(tmp_path: Path):
    with pytest.raises(Refused, match="names no server"):
        await by_kubeconfig(str(kubeconfig(tmp_path, "", {"token": "abc"}))).open()


async def test_a_client_certificate_that_ended_is_refused_and_says_when(tmp_path: Path):
    for name, content in zip(("client", "key"), certificate(ends=datetime(2020, 2, 1, tzinfo=UTC)), strict=True):
        (tmp_path / name).write_bytes(content)
    user = {"client-certificate": str(tmp_path / "client"), "client-key": str(tmp_path / "key")}
    access = by_kubeconfig(str(kubeconfig(tmp_path, URL, user)))
    await access.open()
    with pytest.raises(Refused, match="ended at 2020-02-01"):
        access.tls()


async def test_a_proxy_and_the_name_of_a_certificate_are_heeded(tmp_path: Path):
    there = {"proxy-url": "http://proxy:3128", "tls-server-name": "kubernetes.default"}
    access = by_kubeconfig(str(kubeconfig(tmp_path, URL, {"token": "abc"}, **there)))
    await access.open()
    assert access.route() == {"proxy": "http://proxy:3128", "server_hostname": "kubernetes.default"}


def certificate(ends: datetime) -> tuple[bytes, bytes]:
    """A certificate signed by its own key, and the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "we")])
    made = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=ends - timedelta(days=1),
        not_valid_after=ends,
    ).sign(key, hashes.SHA256())
    kind, format_ = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return made.public_bytes(kind), key.private_bytes(kind, format_, serialization.NoEncryption())


@pytest.mark.parametrize("turns", range(6))
async def test_an_end_that_comes_as_the_credentials_are_ready_is_not_lost(tmp_path, monkeypatch, turns):
    access = by_kubeconfig(str(kubeconfig(tmp_path, URL, {"token": "t"})))
    await access.open()
    ready = asyncio.Event()

    async def in_our_own_time(work):
        await ready.wait()
        return work()

    monkeypatch.setattr(asyncio, "to_thread", in_our_own_time)
    asked = asyncio.create_task(access.headers())
    await asyncio.sleep(0.01)
    ready.set()
    for _ in range(turns):
        await asyncio.sleep(0)

    was_told = asked.cancel()
    await asyncio.wait([asked])
    assert asked.cancelled() == was_told

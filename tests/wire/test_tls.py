# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS: clients with a certificate of the CA, and nobody else whatever they show."""
import json
import ssl
import subprocess

import pytest

from rig.client import TIMEOUT, Client
from rig.raw import Raw, address_of, bearer, failed_start, role_of


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """NAME.pem and NAME.key of a CA, a server, clients of it, and clients of others."""
    folder = tmp_path_factory.mktemp("certificates")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder, timeout=TIMEOUT)

    def self_signed(name, subject):
        openssl("req", "-x509", *new, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", subject)

    def signed(name, subject, ca="ca", extensions="", days=2):
        (folder / "extensions").write_text(extensions)
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
                "-CAcreateserial", "-out", f"{name}.pem", "-days", str(days), "-extfile", "extensions")

    self_signed("ca", "/CN=our CA")
    self_signed("other", "/CN=other CA")
    signed("server", "/CN=server", extensions="subjectAltName=IP:127.0.0.1")
    signed("admin", "/OU=admin/CN=alice")
    signed("operator", "/OU=Storage/OU=operator/CN=bob")
    signed("viewer", "/CN=carol")
    signed("unknown", "/OU=root/CN=dave")
    signed("expired", "/OU=admin/CN=erin", days=-1)
    signed("for-servers", "/OU=admin/CN=frank", extensions="extendedKeyUsage=serverAuth")
    signed("of-other", "/OU=admin/CN=grace", ca="other")
    self_signed("self-signed", "/OU=admin/CN=heidi")
    self_signed("namesake", "/CN=our CA")
    return folder


@pytest.fixture
def tls(make_agent, certificates):
    return make_agent(arguments=["--tls-listen", "127.0.0.1:0", "--tls-cert", str(certificates / "server.pem"),
                                 "--tls-key", str(certificates / "server.key"),
                                 "--tls-ca", str(certificates / "ca.pem")])


def tls_context(certificates, name, version=None):
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    if version:
        context.minimum_version = context.maximum_version = version
    if name:
        context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    context.check_hostname = False
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
@pytest.mark.parametrize("name, role", [("admin", "operator or admin"), ("operator", "operator or admin"),
                                        ("viewer", "viewer"), ("unknown", "viewer")])
def test_a_certificate_of_the_ca_gives_the_role_it_names(tls, certificates, name, role, version):
    with Client(url=tls.url("wss"), ssl=tls_context(certificates, name, version)) as client:
        assert role_of(client) == role
        assert len(json.dumps(client.call("rpc.discover"))) > 10000


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
@pytest.mark.parametrize("name", [None, "self-signed", "of-other", "namesake", "expired", "for-servers"])
def test_no_other_certificate_comes_in(tls, certificates, name, version):
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        with Raw(address_of(tls.url("wss")), tls=tls_context(certificates, name, version)) as raw:
            status, text = raw.request("GET /healthz HTTP/1.1", {"Host": "x"})
            assert status == 0 and text == "", f"it was let in: {text}"
            raise EOFError
    assert tls.call("host.ping") == {}


def test_a_token_is_no_certificate(tls, certificates, make_agent):
    both = make_agent(folder="both", arguments=["--listen", "127.0.0.1:0", *tls.arguments])
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        with Raw(address_of(both.url("wss")), tls=tls_context(certificates, None)) as raw:
            assert raw.handshake(**bearer(both))[0] == 0
            raise EOFError


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_and_http2_are_not_spoken(tls, certificates):
    old = tls_context(certificates, "admin")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Raw(address_of(tls.url("wss")), tls=old)
    new = tls_context(certificates, "admin")
    new.set_alpn_protocols(["h2", "http/1.1"])
    with Raw(address_of(tls.url("wss")), tls=new) as raw:
        assert raw.socket.selected_alpn_protocol() == "http/1.1"


def test_plain_text_on_the_tls_port_is_not_answered(tls):
    with Raw(address_of(tls.url("wss"))) as raw:
        assert raw.request("GET /healthz HTTP/1.1", {"Host": "x"})[0] == 0
    assert tls.call("host.ping") == {}


@pytest.mark.parametrize("flag, name, words", [
    ("--tls-cert", "missing", "certificate"), ("--tls-key", "admin.key", "key"), ("--tls-ca", "ca.key", "CA"),
])
def test_wrong_tls_files_are_named_at_the_start(make_agent, certificates, flag, name, words):
    files = {"--tls-cert": "server.pem", "--tls-key": "server.key", "--tls-ca": "ca.pem", flag: name}
    arguments = [part for key, value in files.items() for part in (key, str(certificates / value))]
    text = failed_start(make_agent, "--tls-listen", "127.0.0.1:0", *arguments)
    assert f"cannot use the {words}" in text and name in text

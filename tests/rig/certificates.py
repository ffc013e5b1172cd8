# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of the test's own, by openssl."""
import pathlib
import subprocess

from .client import TIMEOUT

NEW = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Authority:
    """NAME.pem and NAME.key in 'folder': of the CA itself, and of whatever it has signed."""

    def __init__(self, folder, name="ca"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.openssl("req", "-x509", *NEW, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.folder, timeout=TIMEOUT)

    def path(self, file):
        return str(self.folder / file)

    def sign(self, name, subject, extensions=""):
        (self.folder / "extensions").write_text(extensions)
        self.openssl("req", *NEW, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key",
                     "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", "extensions")

    def sign_server(self):
        self.sign("server", "/CN=server", "subjectAltName=IP:127.0.0.1,DNS:localhost")

    def flags(self):
        """Of an agent that serves TLS with what sign_server() has made."""
        return ["--tls-listen", "127.0.0.1:0", "--tls-cert", self.path("server.pem"),
                "--tls-key", self.path("server.key"), "--tls-ca", self.path(f"{self.name}.pem")]

    def client_folder(self, name):
        """The certificate of 'name' under the names that NBD clients want."""
        folder = self.folder / f"{name}.d"
        folder.mkdir(exist_ok=True)
        for link, file in (("ca-cert.pem", f"{self.name}.pem"), ("client-cert.pem", f"{name}.pem"),
                           ("client-key.pem", f"{name}.key")):
            (folder / link).symlink_to(self.folder / file)
        return str(folder)

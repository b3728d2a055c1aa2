"""Certificates for tests, made by the openssl command: a CA and what it signs, as PEM files in a directory."""
import os
import subprocess


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class Authority:
    """NAME.pem and NAME.key of a CA in the directory."""

    def __init__(self, directory, name="ca"):
        self.directory = directory
        self.pem, self.key = self.path(name + ".pem"), self.path(name + ".key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.key, "-out", self.pem, "-subj",
                "/CN=" + name, "-days", "2")

    def path(self, name):
        return os.path.join(self.directory, name)

    def sign(self, name, subject, days=2):
        """The paths of a certificate for 127.0.0.1 and of its key. days -1: it has expired."""
        pem, key, request, extensions = (self.path(name + suffix) for suffix in (".pem", ".key", ".csr", ".ext"))
        with open(extensions, "w", encoding="utf-8") as file:
            file.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request, "-subj", subject, "-utf8")
        openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.key, "-days", str(days), "-extfile", extensions, "-out", pem)
        return pem, key

# SPDX-License-Identifier: MIT
"""Before a schema registry: an https server that passes on what it is asked, counts it, may want a certificate or a password; and
the authorities and certificates for it."""
import base64
import collections
import datetime
import http.server
import ipaddress
import os
import socket
import ssl
import threading
import urllib.error
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates; everything is written to PEM files in a directory."""

    def __init__(self, directory, name):
        self.directory, self.name = directory, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.subject, self.key, [], 1, authority=True)
        self.file = self._write(name, "pem", self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, key, hosts, days, authority=False):
        now = datetime.datetime.now(datetime.timezone.utc)
        names = [x509.IPAddress(ipaddress.ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.subject).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - 10 * DAY).not_valid_after(now + days * DAY)
                   .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name, kind, content):
        path = os.path.join(self.directory, f"{name}.{kind}")
        with open(path, "wb") as file:
            file.write(content)
        return path

    def issue(self, name, hosts=("127.0.0.1",), days=1, password=None):
        """(certificate file, key file)"""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        secret = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        pem = serialization.Encoding.PEM
        return (self._write(name, "crt", self._sign(subject, key, hosts, days).public_bytes(pem)),
                self._write(name, "key", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, secret)))


class Front:
    """Up until stop(). `asked` counts by method and path."""

    def __init__(self, to, certificate=None, clients=None, user=None, password=None):
        self.to, self.asked, self.lock = to, collections.Counter(), threading.Lock()
        self.login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else None
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                code, answer = front.pass_on(self.command, self.path, self.headers.get("Authorization"), self.rfile.read(length) if length else None)
                self.send_response(code)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # handshakes that fail are what is tested
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            if clients:
                context.load_verify_locations(clients)
                context.verify_mode = ssl.CERT_REQUIRED
            # The handshake is each connection's own thread's.
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def pass_on(self, method, path, login, body):
        with self.lock:
            self.asked[f"{method} {path}"] += 1
        if self.login and login != self.login:
            return 401, b'{"error_code":401,"message":"Unauthorized"}'
        request = urllib.request.Request(self.to + path, data=body, method=method, headers={"Content-Type": "application/vnd.schemaregistry.v1+json"})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read()

    def total(self):
        with self.lock:
            return sum(self.asked.values())

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Hanging:
    """Takes connections and says nothing."""

    def __init__(self):
        self.socket, self.taken = socket.create_server(("127.0.0.1", 0)), []
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self):
        while True:
            self.taken.append(self.socket.accept())

"""A hub that speaks TLS, with a certificate that it made itself."""
import contextlib
import http.client
import json
import os
import ssl

from harness import Hub, equal


class TlsHub(Hub):
    def start(self):
        super().start()
        self.url = f"https://localhost:{self.port}"
        self.ca = os.path.join(self.dir, "cert.pem")

    def _call(self, method, path, body=None):
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=30,
                                                 context=ssl.create_default_context(cafile=self.ca))
        with contextlib.closing(connection):
            connection.request(method, path, body if body is None else json.dumps(body).encode(),
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
            equal(f"{method} {path}", response.status, 200)
            return json.loads(text)

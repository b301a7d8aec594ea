"""gate_client.py - a client of the gate written from docs/PROTOCOL.md §5.1 alone, for tests: signs requests (with openssl), or does not.

    c = Client("127.0.0.1:8443", "root.crt", device="<32 hex>", key="login.key")
    status, headers, body = c.ask("GET", "/v1/inbox")
"""
import base64, hashlib, http.client, ssl, struct, subprocess, tempfile, time


def b64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


class Client:
    def __init__(self, gate, root, device=None, key=None, name=None):
        self.gate, self.name, self.device, self.key = gate, name or gate, device, key
        self.tls = ssl.create_default_context(cafile=root)
        self.tls.check_hostname = False
        self.connection = None
        self.pem = None
        if key:  # the agent's key files are PKCS#8, DER or PEM
            form = "PEM" if open(key, "rb").read(10).startswith(b"-----") else "DER"
            self.pem = tempfile.NamedTemporaryFile(suffix=".pem")
            subprocess.run(["openssl", "pkey", "-inform", form, "-in", key, "-out", self.pem.name], check=True)

    def open(self):
        if self.connection is None:
            host, port = self.gate.rsplit(":", 1)
            self.connection = http.client.HTTPSConnection(host.strip("[]"), int(port), context=self.tls, timeout=30)
        return self.connection

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def raw(self, method, path, body=b"", headers=None):
        c = self.open()
        try:
            c.request(method, path, body=body, headers=headers or {})
            r = c.getresponse()
            return r.status, dict((k.lower(), v) for k, v in r.getheaders()), r.read()
        except (http.client.HTTPException, OSError):
            self.close()
            raise

    def nonce(self):
        status, _, body = self.raw("GET", "/v1/nonce")
        assert status == 200, status
        return body.decode()

    def sign(self, method, path, body=b"", nonce=None, at=None, device=None):
        nonce, at = nonce or self.nonce(), int(time.time()) if at is None else at
        digest = hashlib.sha256(body).digest()
        field = lambda b: struct.pack(">I", len(b)) + b
        message = b"chatkluis-login-v1\0" + b"".join(field(x) for x in (self.name.encode(), method.encode(), path.encode(), digest, nonce.encode(), struct.pack(">Q", at)))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.pem.name], input=message, capture_output=True, check=True).stdout
        return 'Chatkluis-Login id="%s", nonce="%s", time="%d", body="%s", signature="%s"' % (device or self.device, nonce, at, digest.hex(), b64url(signature))

    def ask(self, method, path, body=b"", **lie):
        return self.raw(method, path, body, {"Authorization": self.sign(method, path, body, **lie)})

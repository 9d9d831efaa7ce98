"""Slack and a mail server, as far as Alertmanager needs them, on loopback: each refuses who does not log in."""

from __future__ import annotations

import base64
import json
import socketserver
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Slack:
    """`chat.postMessage` for the owner of a token. `messages` are those that it took."""

    def __init__(self, token: str) -> None:
        self.messages: list[Mapping[str, Any]] = []
        slack = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                known = (self.path, self.headers["Authorization"]) == ("/api/chat.postMessage", f"Bearer {token}")
                if known:
                    slack.messages.append(message)
                self.send_response(200)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.end_headers()
                self.wfile.write(json.dumps({"ok": known} | ({} if known else {"error": "not_authed"})).encode())

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self.server.shutdown()
        self.server.server_close()


class MailServer:
    """SMTP with STARTTLS and AUTH PLAIN. `mails` are recipients and text of each that it took."""

    def __init__(self, certificate: Path, key: Path, user: str, password: str) -> None:
        self.mails: list[tuple[list[str], str]] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        mails = self.mails

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                connection, encrypted, known = self.request, False, False
                recipients: list[str] = []
                file = connection.makefile("rwb", buffering=0)
                file.write(b"220 localhost\r\n")
                while line := file.readline().decode().strip():
                    verb = line.upper()
                    if verb.startswith("EHLO"):
                        reply = "250-localhost\r\n250 AUTH PLAIN" if encrypted else "250-localhost\r\n250 STARTTLS"
                    elif verb == "STARTTLS":
                        file.write(b"220 go ahead\r\n")
                        connection, encrypted = context.wrap_socket(connection, server_side=True), True
                        file = connection.makefile("rwb", buffering=0)
                        continue
                    elif verb.startswith("AUTH PLAIN"):
                        known = encrypted and line.split()[-1] == secret
                        reply = "235 welcome" if known else "535 refused"
                    elif verb.startswith("RCPT TO:"):
                        recipients.append(line[8:].strip("<>"))
                        reply = "250 ok" if known else "530 who are you"
                    elif verb == "DATA":
                        file.write(b"354 go ahead\r\n")
                        text = ""
                        while (more := file.readline().decode()) not in {".\r\n", ""}:
                            text += more
                        mails.append((recipients, text))
                        reply = "250 ok"
                    else:
                        reply = "221 bye" if verb == "QUIT" else "250 ok"
                    file.write(f"{reply}\r\n".encode())

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self.server.shutdown()
        self.server.server_close()

"""A stand-in for the Hugging Face Hub: the few answers that pulling and pushing a model need."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_TestsAlone"


class Hub:
    """Repositories in memory: name -> revision -> file -> content. ``large``: endings that are stored by their sum."""

    def __init__(self) -> None:
        hub = self
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.large = (".safetensors", ".onnx")
        self.blobs: dict[str, bytes] = {}
        self.sizes: dict[str, int] = {}  # of files, where the Hub says another than the true one
        self.status = 0  # to every request, instead of an answer
        self.got: list[str] = []  # files that were fetched

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_POST = do_PUT = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def put(self, repo: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Files at a branch, and at the commit whose name is returned."""
        commit = hashlib.sha1(json.dumps(sorted(files)).encode() + b"".join(files.values())).hexdigest()
        revisions = self.repos.setdefault(repo, {})
        revisions[revision] = revisions[commit] = dict(files)
        return commit

    def answer(self, http: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(http.path).path).strip("/")
        body = http.rfile.read(int(http.headers.get("Content-Length") or 0))
        owner = http.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.status:
            return self.send(http, self.status, {"error": "as told"})
        if http.command in ("POST", "PUT"):
            if not (owner or path.startswith("upload/")):
                return self.send(http, 401, {"error": "Invalid username or password."})
            return self.write(http, path, body)
        parts = path.removeprefix("api/models/").split("/")
        repo = "/".join(parts[:2])
        if repo not in self.repos or (repo in self.private and not owner):
            code = 404 if owner else 401
            return self.send(http, code, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if path.startswith("api/models/"):
            return self.describe(http, repo, parts[3] if len(parts) > 3 else "main")
        revision, name = parts[3], "/".join(parts[4:])
        if repo in self.gated:
            return self.send(http, 403, {"error": "Access is restricted"}, {"X-Error-Code": "GatedRepo"})
        content = self.repos[repo].get(revision, {}).get(name)
        if content is None:
            return self.send(http, 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        if http.command == "GET":
            self.got.append(name)
        etag = hashlib.sha256(content).hexdigest()
        return self.send(http, 200, content, {"X-Repo-Commit": revision, "ETag": f'"{etag}"'})

    def describe(self, http: BaseHTTPRequestHandler, repo: str, revision: str) -> None:
        files = self.repos[repo].get(revision)
        if files is None:
            return self.send(http, 404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        commit = next((c for c, same in self.repos[repo].items() if len(c) == 40 and same == files), "0" * 40)
        siblings = []
        for name, content in files.items():
            row: dict[str, Any] = {"rfilename": name, "size": self.sizes.get(name, len(content))}
            if name.endswith(self.large):
                row["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            siblings.append(row)
        tree = {"id": repo, "modelId": repo, "sha": commit, "private": repo in self.private, "siblings": siblings}
        return self.send(http, 200, {**tree, "tags": [], "downloads": 0, "likes": 0})

    def write(self, http: BaseHTTPRequestHandler, path: str, body: bytes) -> None:
        if path == "api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted['organization']}/{wanted['name']}"
            made = {"url": f"{self.url}/{repo}", "name": repo}
            if repo in self.repos:
                return self.send(http, 409, {"error": "You already created this model repo", **made})
            self.put(repo, {})
            if wanted.get("private") or wanted.get("visibility") == "private":
                self.private.add(repo)
            return self.send(http, 200, made)
        if path == "api/validate-yaml":
            return self.send(http, 200, {"errors": [], "warnings": [{"message": "a warning of the Hub"}]})
        if path.endswith("/info/lfs/objects/batch"):
            made = [
                {**o, "actions": {"upload": {"href": f"{self.url}/upload/{o['oid']}"}}}
                for o in json.loads(body)["objects"]
            ]
            return self.send(http, 200, {"transfer": "basic", "objects": made})
        if path.startswith("upload/"):
            self.blobs[hashlib.sha256(body).hexdigest()] = body
            return self.send(http, 200, {})
        repo = "/".join(path.removeprefix("api/models/").split("/")[:2])
        if "/preupload/" in path:
            asked = [f["path"] for f in json.loads(body)["files"]]
            rows = [
                {"path": p, "uploadMode": "lfs" if p.endswith(self.large) else "regular", "shouldIgnore": False}
                for p in asked
            ]
            return self.send(http, 200, {"files": rows})
        files = dict(self.repos[repo]["main"])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
        commit = self.put(repo, files)
        tree = {"success": True, "commitOid": commit, "commitUrl": f"{self.url}/{repo}/commit/{commit}"}
        return self.send(http, 200, {**tree, "hookOutput": "", "pullRequestUrl": None})

    def send(self, http: BaseHTTPRequestHandler, status: int, what: Any, headers: dict[str, str] | None = None) -> None:
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        http.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            http.send_header(key, value)
        http.send_header("Content-Length", str(len(body)))
        http.end_headers()
        if http.command != "HEAD":
            http.wfile.write(body)

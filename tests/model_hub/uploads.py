"""
The half of the played hub that is written to: the routes that huggingface_hub's client really uses.

    POST /api/repos/create                              a repository, once
    GET  /api/models/OWNER/NAME/auth-check/write        may this token write
    POST /api/models/OWNER/NAME/branch/BRANCH           a branch, once
    POST /api/models/OWNER/NAME/preupload/BRANCH        what goes by LFS, what in the commit
    POST /OWNER/NAME.git/info/lfs/objects/batch         where the large files go
    PUT  /lfs/OID, /lfs/OID/PART                        there
    POST /lfs/OID/complete, /lfs/OID/verify
    POST /api/models/OWNER/NAME/commit/BRANCH           the commit, all or nothing
    GET  /api/models/OWNER/NAME/revision/BRANCH         its head

As the real hub it holds a commit against what arrived, and answers a second creation with 409.
"""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import unquote, urlsplit

Route = Callable[[str, bytes, str], tuple[int, dict[str, Any]]]
CUT = -1  # instead of a status: the connection ends without an answer


@dataclass(kw_only=True)
class Shelf:
    """Hold one repository that may be written, and the faults to play."""

    repo: str
    token: str
    writers: bool = True  # whether the token may write
    visibility: str | None = None  # none: not made yet
    branches: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    chunk_bytes: int | None = None  # in parts of this size
    # Part of a path -> what is answered instead, one after the other.
    faults: dict[str, list[int]] = field(default_factory=dict)
    lost_answers: list[str] = field(default_factory=list)  # parts of paths: done, then cut, once
    asked: list[str] = field(default_factory=list)

    def answer(
        self, method: str, url: str, headers: Message, content: bytes, endpoint: str
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Return status, JSON and headers; the status `CUT` for none at all."""
        path = unquote(urlsplit(url).path)
        self.asked.append(f"{method} {path}")
        for part, answers in self.faults.items():
            if part in path and answers:
                return answers.pop(0), {"error": "a bad day", "url": f"{endpoint}/{self.repo}"}, {}
        if path.startswith("/lfs/"):
            return self._store(method, path.removeprefix("/lfs/").split("/"), content)
        if headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"error": "Invalid credentials"}, {}
        status, body = self._ask(path, content, endpoint)
        lost = next((part for part in self.lost_answers if part in path), None)
        if lost is not None:
            self.lost_answers.remove(lost)
            return CUT, {}, {}
        return status, body, {}

    def _ask(self, path: str, content: bytes, endpoint: str) -> tuple[int, dict[str, Any]]:
        below = f"/api/models/{self.repo}/"
        if path == "/api/repos/create":
            return self._create(json.loads(content), endpoint)
        if self.visibility is None:
            return 404, {"error": "Repository not found"}
        if path == f"/{self.repo}.git/info/lfs/objects/batch":
            return 200, {
                "objects": [self._object(o, endpoint) for o in json.loads(content)["objects"]]
            }
        if path == f"{below}auth-check/write":
            return (200, {}) if self.writers else (403, {"error": "Forbidden"})
        routes: dict[str, Route] = {
            "branch": self._branch,
            "preupload": self._preupload,
            "commit": self._commit,
            "revision": self._revision,
        }
        kind, _, branch = path.removeprefix(below).partition("/")
        if not path.startswith(below) or kind not in routes:
            return 404, {"error": f"no such route: {path}"}
        return routes[kind](branch, content, endpoint)

    def _create(self, asked: dict[str, Any], endpoint: str) -> tuple[int, dict[str, Any]]:
        named = f"{asked['organization']}/{asked['name']}"
        if named != self.repo or not self.writers:
            return 403, {"error": "You don't have the rights to create a model there"}
        url = {"url": f"{endpoint}/{self.repo}"}
        if self.visibility is not None:
            return 409, {"error": "You already created this model repo", **url}
        private = asked.get("private") or asked.get("visibility") == "private"
        self.visibility = "private" if private else "public"
        self.branches["main"] = {}
        return 200, url

    def _branch(self, branch: str, _content: bytes, _endpoint: str) -> tuple[int, dict[str, Any]]:
        if branch in self.branches:
            return 409, {"error": "Reference already exists"}
        self.branches[branch] = dict(self.branches["main"])
        return 200, {}

    def _preupload(self, branch: str, content: bytes, _endpoint: str) -> tuple[int, dict[str, Any]]:
        if branch not in self.branches:
            return 404, {"error": "Invalid rev id"}
        files = [
            {
                "path": each["path"],
                "uploadMode": _mode(each["path"]),
                "shouldIgnore": False,
                "oid": self._oid(branch, each["path"]),
            }
            for each in json.loads(content)["files"]
        ]
        return 200, {"files": files}

    def _oid(self, branch: str, path: str) -> str | None:
        stored = self.branches[branch].get(path)
        if stored is None:
            return None
        if _mode(path) == "lfs":
            return hashlib.sha256(stored).hexdigest()
        header = f"blob {len(stored)}\0".encode()
        return hashlib.sha1(header + stored, usedforsecurity=False).hexdigest()

    def _object(self, wanted: dict[str, Any], endpoint: str) -> dict[str, Any]:
        oid, size = wanted["oid"], wanted["size"]
        described = {"oid": oid, "size": size}
        if oid in self.objects:
            return described
        place = f"{endpoint}/lfs/{oid}"
        if self.chunk_bytes is None:
            actions = {"upload": {"href": place}, "verify": {"href": f"{place}/verify"}}
            return {**described, "actions": actions}
        parts = range(1, -(-size // self.chunk_bytes) + 1)
        header = {"chunk_size": str(self.chunk_bytes), **{str(n): f"{place}/{n}" for n in parts}}
        return {**described, "actions": {"upload": {"href": f"{place}/complete", "header": header}}}

    def _store(
        self, method: str, names: list[str], content: bytes
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        oid, *more = names
        if more == ["complete"]:
            parts = (
                self.objects.pop(f"{oid}/{n['partNumber']}") for n in json.loads(content)["parts"]
            )
            content, more = b"".join(parts), []
        elif more == ["verify"]:
            return (200 if oid in self.objects else 404), {}, {}
        elif more:
            self.objects[f"{oid}/{more[0]}"] = content
            return 200, {}, {"ETag": f'"{more[0]}"'}
        elif method != "PUT":
            return 405, {}, {}
        if hashlib.sha256(content).hexdigest() != oid:
            return 400, {"error": "The content does not have this hash"}, {}
        self.objects[oid] = content
        return 200, {}, {}

    def _commit(self, branch: str, content: bytes, endpoint: str) -> tuple[int, dict[str, Any]]:
        lines = [json.loads(line) for line in content.splitlines()]
        files = dict(self.branches[branch])
        for line in lines[1:]:
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile" if value["oid"] in self.objects:
                    files[value["path"]] = self.objects[value["oid"]]
                case _:
                    return 400, {"error": f"{value['path']}: its content has not arrived"}
        self.branches[branch] = files
        self.messages.append(lines[0]["value"]["summary"])
        return 200, {
            "commitUrl": f"{endpoint}/{self.repo}/commit/{self.head()}",
            "commitOid": self.head(),
        }

    def _revision(self, branch: str, _content: bytes, _endpoint: str) -> tuple[int, dict[str, Any]]:
        return 200, {"id": self.repo, "sha": self.head(), "private": True, "branch": branch}

    def head(self) -> str:
        """Return the id of the last commit."""
        return f"{len(self.messages):040x}"


def _mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"

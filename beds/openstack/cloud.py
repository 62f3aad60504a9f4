"""A small client of the bed's OpenStack, for the scripts that prepare it."""
import os

import requests

KEYSTONE, NEUTRON, OCTAVIA = (f"http://{os.environ['BED_ADDRESS']}:{port}" for port in (5000, 9696, 9876))


class ApiError(Exception):
    def __init__(self, answer):
        super().__init__(f"{answer.request.method} {answer.url} -> {answer.status_code} {answer.text[:400]}")
        self.status = answer.status_code


class Cloud:
    """A session of one user, with a token for one project."""

    def __init__(self, user, password, project):
        self.session = requests.Session()
        self.session.trust_env = False
        answer = self.session.post(f"{KEYSTONE}/v3/auth/tokens", json={"auth": {
            "identity": {"methods": ["password"], "password": {
                "user": {"name": user, "domain": {"id": "default"}, "password": password}}},
            "scope": {"project": {"name": project, "domain": {"id": "default"}}}}})
        if answer.status_code != 201:
            raise ApiError(answer)
        self.session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
        token = answer.json()["token"]
        self.project, self.user = token["project"]["id"], token["user"]["id"]

    def request(self, method, url, body=None, **query):
        answer = self.session.request(method, url, json=body, params=query)
        if answer.status_code >= 400:
            raise ApiError(answer)
        return answer.json() if answer.content else None

    def identity(self, method, path, body=None, **query):
        return self.request(method, f"{KEYSTONE}/v3/{path}", body, **query)

    def network(self, method, path, body=None, **query):
        return self.request(method, f"{NEUTRON}/v2.0/{path}", body, **query)

    def find_or_create(self, kind, name, **fields):
        """The Neutron object of this kind (singular, with underscores) and name."""
        path = kind.replace("_", "-") + "s"
        found = self.network("GET", path, name=name, project_id=self.project)[kind + "s"]
        return found[0] if found else self.network("POST", path, {kind: {"name": name, **fields}})[kind]

#!/usr/bin/python3
"""Projects, users, roles and the service catalogue. Safe to run again."""
from cloud import Cloud, NEUTRON, OCTAVIA

admin = Cloud("admin", "adminpw", "admin")


def ensure(kind, match, **fields):
    found = admin.identity("GET", kind + "s", **match)[kind + "s"]
    return (found[0] if found else admin.identity("POST", kind + "s", {kind: {**match, **fields}})[kind])["id"]


def grant(project, user, *names):
    for name in names:
        admin.identity("PUT", f"projects/{project}/users/{user}/roles/{roles[name]}")


def user(name, password, project, *names):
    grant(project, ensure("user", {"name": name, "domain_id": "default"}, password=password, default_project_id=project), *names)


roles = {name: ensure("role", {"name": name}) for name in (
    "admin", "member", "reader", "service", "load-balancer_member", "load-balancer_admin", "load-balancer_observer")}
service, k8s, other = (ensure("project", {"name": name, "domain_id": "default"}) for name in ("service", "k8s", "k8s-other"))
user("neutron", "servicepw", service, "admin", "service")
user("octavia", "servicepw", service, "admin", "service", "load-balancer_admin")
user("k8s", "tenantpw", k8s, "member", "load-balancer_member")                  # a plain tenant
user("k8s-admin", "tenantpw", k8s, "admin", "member", "load-balancer_member")   # Kuryr: may set binding:host_id and see binding:*
user("k8s-other", "tenantpw", other, "member", "load-balancer_member")
grant(admin.project, admin.user, "load-balancer_admin")

for kind, name, url in (("network", "neutron", NEUTRON), ("load-balancer", "octavia", OCTAVIA)):
    sid = ensure("service", {"type": kind, "name": name})
    have = {e["interface"] for e in admin.identity("GET", "endpoints", service_id=sid)["endpoints"]}
    for interface in {"public", "internal", "admin"} - have:
        admin.identity("POST", "endpoints", {"endpoint": {
            "service_id": sid, "interface": interface, "url": url, "region_id": "RegionOne"}})

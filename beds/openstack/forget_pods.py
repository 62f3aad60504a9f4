#!/usr/bin/python3
"""Delete the ports of pods that are gone with their cluster."""
from cloud import Cloud

admin = Cloud("k8s-admin", "tenantpw", "k8s")
network = admin.find_or_create("network", "k8s-pods")["id"]
ports = admin.network("GET", "ports", network_id=network, device_owner="compute:kuryr", fields="id")["ports"]
for port in ports:
    admin.network("DELETE", f"ports/{port['id']}")
print(len(ports))

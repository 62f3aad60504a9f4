#!/usr/bin/python3
"""The Neutron side of the cluster, printed as shell assignments. Safe to run again.

public        flat on physnet1, 172.24.4.0/24: the API server (.1), the nodes (.201, .202), the router's gateway port
k8s-pods      10.20.0.0/16
k8s-services  10.96.0.0/16: the API server gives out the lower half, Octavia's own ports take the upper
k8s           the router of all three, without SNAT; the security group k8s-pods lets everything in
"""
import os

from cloud import ApiError, Cloud

PODS, SERVICES, API = "10.20.0.0/16", "10.96.0.0/16", os.environ["BED_ADDRESS"]
admin, k8s = Cloud("admin", "adminpw", "admin"), Cloud("k8s", "tenantpw", "k8s")

public = admin.find_or_create("network", "public", **{
    "router:external": True, "provider:network_type": "flat", "provider:physical_network": "physnet1"})
public_subnet = admin.find_or_create("subnet", "public", network_id=public["id"], cidr="172.24.4.0/24", ip_version=4, enable_dhcp=False,
                     gateway_ip=API, allocation_pools=[{"start": "172.24.4.10", "end": "172.24.4.199"}])
pods = k8s.find_or_create("network", "k8s-pods")
pod_subnet = k8s.find_or_create("subnet", "k8s-pods", network_id=pods["id"], cidr=PODS, ip_version=4, enable_dhcp=False)
services = k8s.find_or_create("network", "k8s-services")
service_subnet = k8s.find_or_create(
    "subnet", "k8s-services", network_id=services["id"], cidr=SERVICES, ip_version=4, enable_dhcp=False,
    gateway_ip="10.96.255.254", allocation_pools=[{"start": "10.96.128.1", "end": "10.96.255.253"}])

router = k8s.find_or_create("router", "k8s")
if not router.get("external_gateway_info"):   # only the cloud's admin may say: no SNAT
    router = admin.network("PUT", f"routers/{router['id']}", {"router": {
        "external_gateway_info": {"network_id": public["id"], "enable_snat": False}}})["router"]
attached = {ip["subnet_id"] for port in k8s.network("GET", "ports", device_id=router["id"])["ports"] for ip in port["fixed_ips"]}
for subnet in (pod_subnet, service_subnet):
    if subnet["id"] not in attached:
        k8s.network("PUT", f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})

group = k8s.find_or_create("security_group", "k8s-pods")
try:
    k8s.network("POST", "security-group-rules", {"security_group_rule": {
        "security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4", "remote_ip_prefix": "0.0.0.0/0"}})
except ApiError as error:
    if error.status != 409:   # it is there already
        raise

for name, value in {
    "API_ADDRESS": API, "GATEWAY": router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"],
    "POD_CIDR": PODS, "SERVICE_CIDR": SERVICES, "PROJECT": k8s.project,
    "POD_NETWORK": pods["id"], "POD_SUBNET": pod_subnet["id"],
    "SERVICE_NETWORK": services["id"], "SERVICE_SUBNET": service_subnet["id"],
    "EXTERNAL_NETWORK": public["id"], "EXTERNAL_SUBNET": public_subnet["id"], "ROUTER": router["id"], "SECURITY_GROUP": group["id"],
}.items():
    print(f"export BED_{name}={value}")

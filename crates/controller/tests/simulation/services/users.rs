//! What users and Kubernetes do with Services.

use serde_json::{Value, json};

use super::{History, NAMES, SERVICES, SLICES};
use crate::seeds::say;
use crate::world::NAMESPACE;

/// What a Service can have at its ports: name, protocol, port, and the pods' port.
const PORTS: [(&str, &str, u16, u16); 5] = [
    ("http", "TCP", 80, 8080),
    ("more", "TCP", 81, 8081),
    ("dns", "UDP", 53, 5353),
    ("dns-tcp", "TCP", 53, 5353),
    ("sigtran", "SCTP", 80, 8080),
];

impl History {
    /// Something happens to a Service.
    pub(super) fn use_cluster(&mut self) {
        let name = *self.random.choice(NAMES.iter()).unwrap();
        let Some(service) = self.world.cluster.get(SERVICES, NAMESPACE, name) else {
            return self.create(name);
        };
        match self.random.u32(0..100) {
            0..10 => self.remove(name),
            10..25 => self.retype(name, &service),
            25..33 => {
                let ports = self.some_ports();
                self.change(name, "other ports", &json!({ "spec": { "ports": ports } }));
            }
            33..41 => {
                let change = self.affinity();
                self.change(name, "another affinity", &json!({ "spec": change }));
            }
            41..50 if service["spec"]["type"] == "LoadBalancer" => {
                let asked = self.asked(name);
                self.watchman.may_change(&service);
                self.change(name, "another address is asked for", &json!({ "spec": { "loadBalancerIP": asked } }));
            }
            50..54 => self.world.cluster.compact(),
            54..58 => self.world.cluster.cut_watches(),
            58..60 => self.world.cloud.revoke_all_tokens(),
            60..64 => {
                let (resource, limit) = (*self.random.choice(["load_balancer", "pool", "member"].iter()).unwrap(), 3);
                say(&format!("a quota: {limit} of {resource}"));
                self.world.cloud.set_load_balancing_quota("k8s", resource, limit);
            }
            64..66 => self.world.cloud.set_quota("k8s", "floatingip", 6),
            66..70 => self.lift_quotas(),
            _ => self.churn(name),
        }
    }

    pub(super) fn lift_quotas(&self) {
        for resource in ["load_balancer", "pool", "member"] {
            self.world.cloud.set_load_balancing_quota("k8s", resource, -1);
        }
        self.world.cloud.set_quota("k8s", "floatingip", -1);
    }

    fn create(&mut self, name: &str) {
        let mut spec = json!({ "type": "ClusterIP", "ports": self.some_ports() });
        match self.random.u32(0..10) {
            0 => spec = json!({ "type": "ExternalName", "externalName": "example.org" }),
            1 => spec["clusterIP"] = json!("None"),
            2..6 => {
                spec["type"] = json!("LoadBalancer");
                spec["loadBalancerIP"] = self.asked(name);
            }
            _ => {}
        }
        if spec["type"] != "ExternalName" && spec["clusterIP"] != "None" {
            spec["clusterIP"] = self.address();
        }
        if spec["clusterIP"].is_string() {
            spec["clusterIPs"] = json!([spec["clusterIP"]]);
        }
        json_patch::merge(&mut spec, &self.affinity());
        say(&format!("{name} is created: {spec}"));
        let metadata = json!({ "name": name, "namespace": NAMESPACE });
        let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec });
        self.world.cluster.create(service).unwrap();
        self.churn(name);
    }

    pub(super) fn remove(&mut self, name: &str) {
        say(&format!("{name} is deleted"));
        let _ = self.world.cluster.delete_now(SERVICES, NAMESPACE, name);
        for slice in self.world.cluster.list(SLICES, NAMESPACE) {
            if slice["metadata"]["labels"]["kubernetes.io/service-name"] == name {
                let slice = slice["metadata"]["name"].as_str().unwrap();
                self.world.cluster.delete_now(SLICES, NAMESPACE, slice).unwrap();
            }
        }
    }

    fn retype(&mut self, name: &str, service: &Value) {
        let mut spec = match self.random.u32(0..10) {
            0 => json!({ "type": "ExternalName", "externalName": "e", "clusterIP": null, "clusterIPs": null }),
            1..3 => json!({ "type": "NodePort" }),
            3..6 => json!({ "type": "ClusterIP" }),
            _ => json!({ "type": "LoadBalancer" }),
        };
        // Headless Services stay so, and who had no address gets one.
        let address = &service["spec"]["clusterIP"];
        if address == "None" {
            return;
        }
        if spec["type"] != "ExternalName" && !address.is_string() {
            let address = self.address();
            json_patch::merge(&mut spec, &json!({ "clusterIP": address, "clusterIPs": [address] }));
            spec["ports"] = self.some_ports();
        }
        self.watchman.may_change(service);
        self.change(name, "another type", &json!({ "spec": spec }));
    }

    fn change(&self, name: &str, what: &str, change: &Value) {
        say(&format!("{name}: {what}: {change}"));
        self.world.cluster.patch(SERVICES, NAMESPACE, name, change).unwrap();
    }

    /// An address in the cluster that no Service has had.
    fn address(&mut self) -> Value {
        self.last_address += 1;
        json!(format!("10.96.0.{}", self.last_address))
    }

    fn some_ports(&mut self) -> Value {
        let mut ports: Vec<Value> = PORTS
            .iter()
            .filter(|_| self.random.u32(0..5) < 2)
            .map(|(name, protocol, port, target)| {
                json!({ "name": name, "protocol": protocol, "port": port, "targetPort": target })
            })
            .collect();
        if ports.is_empty() {
            let port = 8000 + self.random.u16(0..3);
            ports = vec![json!({ "name": "http", "protocol": "TCP", "port": port, "targetPort": 8080 })];
        }
        json!(ports)
    }

    fn affinity(&mut self) -> Value {
        match self.random.u32(0..4) {
            0 => json!({ "sessionAffinity": "ClientIP" }),
            1 => {
                let seconds = self.random.u32(60..65);
                json!({ "sessionAffinity": "ClientIP",
                    "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": seconds } } })
            }
            _ => json!({ "sessionAffinity": "None", "sessionAffinityConfig": null }),
        }
    }

    /// The address from outside that a Service asks for: none, its users' own, or one that nobody has.
    fn asked(&mut self, name: &str) -> Value {
        let place = NAMES.iter().position(|known| *known == name).unwrap();
        match self.random.u32(0..4) {
            0 => json!(self.own_addresses[place]),
            1 => json!(format!("172.24.4.{}", 100 + place)),
            _ => Value::Null,
        }
    }

    /// Endpoints come and go, in one of two slices. A pod may be in both for a while.
    fn churn(&mut self, service: &str) {
        let slice = format!("{service}-{}", self.random.u8(1..3));
        let count = self.random.u8(0..4);
        let endpoints: Vec<Value> = (0..count).map(|_| self.endpoint()).collect();
        say(&format!("{slice} has {count} endpoints"));
        if self.world.cluster.get(SLICES, NAMESPACE, &slice).is_some() {
            self.world.cluster.patch(SLICES, NAMESPACE, &slice, &json!({ "endpoints": endpoints })).unwrap();
            return;
        }
        let mut ports: Vec<Value> = Vec::new();
        for (name, protocol, _, target) in PORTS {
            ports.push(json!({ "name": name, "protocol": protocol, "port": target }));
        }
        let labels = json!({ "kubernetes.io/service-name": service });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": slice, "namespace": NAMESPACE, "labels": labels },
            "endpoints": endpoints, "ports": ports,
        });
        self.world.cluster.create(slice).unwrap();
    }

    fn endpoint(&mut self) -> Value {
        let host = self.random.u8(10..16);
        let conditions = match self.random.u32(0..8) {
            0 => json!({ "ready": false }),
            1..3 => json!({ "ready": false, "serving": true, "terminating": true }),
            3 => json!({}),
            _ => json!({ "ready": true, "serving": true, "terminating": false }),
        };
        // Somebody's address outside of the pods' subnet is nobody's business.
        let address = if self.random.u32(0..12) == 0 { "192.0.2.1".to_owned() } else { format!("10.0.0.{host}") };
        json!({ "addresses": [address], "conditions": conditions,
            "targetRef": { "kind": "Pod", "namespace": NAMESPACE, "name": format!("pod-{host}") } })
    }
}

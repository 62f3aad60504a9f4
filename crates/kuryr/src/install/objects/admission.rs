//! A second wall behind the roles: whatever a node's daemon is granted one day, it writes only its own node's KuryrPorts. The API
//! server knows the node from the daemon's token (Kubernetes 1.30 writes it there).

use serde_json::{Value, json};

use super::{NODE, Scene, kuryr_object};

const NAME: &str = "kuryr-cni-own-node";
const GROUP: &str = "admissionregistration.k8s.io/v1";

pub(super) fn all(scene: &Scene<'_>) -> [Value; 2] {
    let user = format!("system:serviceaccount:{}:{NODE}", scene.namespace);
    let mut policy = kuryr_object(GROUP, "ValidatingAdmissionPolicy", NAME, None);
    policy["spec"] = json!({
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [{
                "apiGroups": ["openstack.org"],
                "apiVersions": ["*"],
                "resources": ["kuryrports"],
                "operations": ["CREATE", "UPDATE", "DELETE"],
            }],
        },
        "matchConditions": [{ "name": "daemon", "expression": format!("request.userInfo.username == '{user}'") }],
        "variables": [{
            "name": "node",
            "expression": "has(request.userInfo.extra) && 'authentication.kubernetes.io/node-name' in request.userInfo.extra \
                           ? request.userInfo.extra['authentication.kubernetes.io/node-name'][0] : ''",
        }],
        "validations": [
            {
                "expression": "variables.node != '' && (request.operation == 'CREATE' || oldObject.spec.podNodeName == variables.node)",
                "message": "kuryr-daemon may change only KuryrPorts of pods of its own node",
            },
            {
                "expression": "request.operation == 'DELETE' || object.spec.podNodeName == variables.node",
                "message": "kuryr-daemon may write only KuryrPorts for pods of its own node",
            },
        ],
    });
    let mut binding = kuryr_object(GROUP, "ValidatingAdmissionPolicyBinding", NAME, None);
    binding["spec"] = json!({ "policyName": NAME, "validationActions": ["Deny"] });
    [policy, binding]
}

//! The files of the lab: `kuryr.conf` of the controller and the daemons, and what a user on the host needs to look in.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What the controller is told about the cloud.
#[derive(Clone)]
pub(crate) struct CloudFacts {
    /// Keystone, as the host and the controller see it.
    pub(crate) auth_url: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) project_id: String,
    /// The pods' subnet.
    pub(crate) subnet: String,
    /// The subnet of VIPs.
    pub(crate) service_subnet: String,
    /// The pods' security group.
    pub(crate) security_group: String,
}

/// `kuryr.conf` of the controller. The lab's clouds are done in milliseconds, so it looks often whether they are.
pub(crate) fn controller(directory: &Path, api: SocketAddr, cloud: &CloudFacts) -> Result<PathBuf> {
    let CloudFacts { auth_url, user, password, project_id, subnet, service_subnet, security_group } = cloud;
    write(
        &directory.join("controller.conf"),
        &format!(
            "[DEFAULT]\ndebug = true\n\n\
             [kubernetes]\napi_root = http://{api}\ntoken_file =\nssl_ca_crt_file =\n\n\
             [neutron]\nauth_type = password\nauth_url = {auth_url}\nusername = {user}\npassword = {password}\n\
             user_domain_id = default\nproject_id = {project_id}\n\n\
             [neutron_defaults]\nproject = {project_id}\npod_subnet = {subnet}\npod_security_groups = {security_group}\n\
             service_subnet = {service_subnet}\n\n\
             [kuryr]\ncluster_name = kuryr-lab\ndrift_interval = 5\nactivation_interval = 0.05\n\
             services = true\ningress = true\n"
        ),
    )
}

/// `kuryr.conf` of the daemons; a node needs no OpenStack. What it remembers goes to `/run`, which is each
/// node's own.
pub(crate) fn daemon(directory: &Path, api: SocketAddr) -> Result<PathBuf> {
    write(
        &directory.join("daemon.conf"),
        &format!(
            "[DEFAULT]\ndebug = true\n\n[kubernetes]\napi_root = http://{api}\ntoken_file =\nssl_ca_crt_file =\n\n\
             [kuryr]\nstate_dir = /run/kuryr/attachments\n"
        ),
    )
}

/// A kubeconfig for the host.
pub(crate) fn kubeconfig(directory: &Path, api: SocketAddr) -> Result<PathBuf> {
    write(
        &directory.join("kubeconfig"),
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: kuryr-lab\n\
             clusters:\n- name: kuryr-lab\n  cluster:\n    server: http://{api}\n\
             contexts:\n- name: kuryr-lab\n  context:\n    cluster: kuryr-lab\n    user: kuryr-lab\n\
             users:\n- name: kuryr-lab\n  user: {{}}\n"
        ),
    )
}

fn write(path: &Path, content: &str) -> Result<PathBuf> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.to_owned())
}

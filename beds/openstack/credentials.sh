# How a client logs in: clouds.yaml with all users, openrc.USER for each, and openrc for the one that Kuryr uses. Sourced.
# shellcheck shell=bash
credentials() {
  local user password project
  echo "clouds:" >"$BED/clouds.yaml"
  while read -r user password project; do
    cat >>"$BED/clouds.yaml" <<C
  $user:
    auth: {auth_url: "http://$BED_ADDRESS:5000/v3", username: $user, password: $password, project_name: $project, user_domain_id: default, project_domain_id: default}
    region_name: RegionOne
    identity_api_version: 3
C
    cat >"$BED/openrc.$user" <<C
export OS_AUTH_URL=http://$BED_ADDRESS:5000/v3 OS_IDENTITY_API_VERSION=3 OS_REGION_NAME=RegionOne
export OS_USERNAME=$user OS_PASSWORD=$password OS_PROJECT_NAME=$project OS_USER_DOMAIN_ID=default OS_PROJECT_DOMAIN_ID=default
C
  done <<U
admin adminpw admin
k8s tenantpw k8s
k8s-admin tenantpw k8s
k8s-other tenantpw k8s-other
U
  cp "$BED/openrc.k8s-admin" "$BED/openrc"
}
